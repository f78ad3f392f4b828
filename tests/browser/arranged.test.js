// What is drawn of counts, and where it stands in the address: rules without a browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { csvCell } from "../../crates/api/dashboard/csv.js";
import { arrange, figures, PERIODS } from "../../crates/api/dashboard/series.js";
import { fromSearch, toSearch } from "../../crates/api/dashboard/state.js";
import { rangeOf, resolve, shownNumber } from "../../crates/api/dashboard/time.js";

const COLORS = ["red", "blue"];
const DAY_S = 86_400;

function loaded(present, more = {}) {
  const times = Object.values(present)[0].map((_, at) => at * 60);
  const until = times.length * 60;
  const lines = Object.entries(present).map(([label, values]) => ({ label, values }));
  return { stepName: "1m", times, from: 0, until, completeUntil: until, marks: [], periods: [], present: lines, past: [], ...more };
}

const drawnOf = (model) => Object.fromEntries(model.lines.map(({ label, drawn }) => [label, drawn]));

test("a stack is made of the lines that are shown", () => {
  const counts = loaded({ a: [1, 2], b: [10, null], c: [100, 200] });
  assert.deepEqual(drawnOf(arrange(counts, "stack", new Set(), COLORS)), { a: [1, 2], b: [11, 2], c: [111, 202] });
  const without = arrange(counts, "stack", new Set(["b"]), COLORS);
  assert.deepEqual(without.lines.filter(({ show }) => show).map(({ label, drawn }) => [label, drawn]), [["a", [1, 2]], ["c", [101, 202]]]);
});

test("a sum is of all names, and unknown only where all are", () => {
  const [yesterday] = PERIODS;
  const past = [{ name: "a", label: "a, yesterday", values: [5, 5, 5], period: yesterday }];
  const model = arrange(loaded({ a: [1, null, null], b: [2, 3, null] }, { past, periods: [yesterday] }), "sum", new Set(), COLORS);
  assert.deepEqual(drawnOf(model), { "sum of 2 names": [3, 3, null], "sum, yesterday": [5, 5, 5] });
});

test("figures are of buckets that are over, and months differ in length", () => {
  const times = [0, 31, 59, 90].map((day) => day * DAY_S);
  const months = (completeDay) =>
    arrange(loaded({ a: [310, 280, 310, 7] }, { stepName: "1mo", times, until: 120 * DAY_S, completeUntil: completeDay * DAY_S }), "lines", new Set(), COLORS);
  assert.deepEqual([months(58.9).open, months(59).open, months(89.5).open, months(119.9).open, months(120).open], [1, 2, 2, 3, 4]);
  const running = months(100);
  assert.deepEqual(figures(running.lines[0], running.open), { total: 907, mean: 300, most: 310, last: 310 });
  assert.deepEqual(figures({ values: [null] }, 1), { total: null, mean: null, most: null, last: null });
});

test("an address is a view", () => {
  for (const state of [
    { view: "graph", names: ["a+b#c", "x/y~z=%41", "web.*"], from: "-30d", step: "1h", mode: "stack", compare: ["1d", "7d"], zone: "local" },
    { view: "relation", names: [], x: "web.load/web.load.samples", y: "a+b", from: "100", until: "200", live: false },
    { view: "graph", names: ["a"], live: false },
  ]) {
    const whole = { ...fromSearch(""), ...state };
    assert.deepEqual(fromSearch(toSearch(whole)), whole);
  }
  assert.equal(toSearch(fromSearch("?view=nothing&mode=pie&__proto__=1")), "");
});

test("times are what the API takes, and nothing else", () => {
  assert.equal(resolve("2026-11-24T10:05:00Z"), Date.UTC(2026, 10, 24, 10, 5) / 1000);
  assert.equal(resolve("2026-11-24 10:05"), Date.UTC(2026, 10, 24, 10, 5) / 1000);
  assert.equal(resolve("-2h", 10_000), 2_800);
  for (const text of ["deploy 12", "soon", "", "-1y", "1e9"]) assert.ok(Number.isNaN(resolve(text)), text);
  assert.deepEqual(rangeOf(NaN, 5), {});
  assert.deepEqual(rangeOf(1_700_000_030, 1_700_000_090, 1_800_000_000), { from: "1699999980", until: "1700000100", live: false });
  assert.equal(rangeOf(0, 1_800_000_000, 1_800_000_000).until, "now");
});

test("what a browser cannot hold exactly says so", () => {
  assert.equal(shownNumber(2 ** 53 - 1), "9,007,199,254,740,991");
  assert.equal(shownNumber(2 ** 60), "≈ 1,152,921,504,606,847,000");
});

test("a text in CSV is no formula, and a number is a number", () => {
  for (const [value, cell] of JSON.parse(readFileSync(new URL("../data/csv_cells.json", import.meta.url), "utf8"))) {
    assert.equal(csvCell(value), cell);
  }
});
