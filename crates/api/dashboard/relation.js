// One name as a function of another: I(L(t)) as a scatter, with the line that fits it best.

import uPlot from "./vendor/uPlot.esm.js";
import { byId, csvUrl, el, setFile, showError, showTable } from "./dom.js";
import { getJson, isAbandoned, Turn } from "./api.js";
import { axis, colors, placeTip, sizeOf } from "./chart.js";
import { Finder } from "./finder.js";
import { blame, whenHealthChanges } from "./health.js";
import { isoTime, RANGES, resolve, shownCompact, shownNumber, shownTime, stepFor, STEPS } from "./time.js";

/** The step is chosen so that there are at most so many points. */
const PAIRS_MAX = 1_500;

/** Dots of one picture, whatever the step: evenly spread over the range; more cover each other. */
const DOTS_MAX = 10_000;

/** Rows of the table of values. */
const ROWS_MAX = 500;

const SUGGESTIONS_MAX = 12;

const REACH_PX = 20;

const DOT_PX = 3.5;

export class Relation {
  constructor(go) {
    this.go = go;
    this.turn = new Turn();
    this.form = byId("axes");
    this.finders = Object.fromEntries(["x", "y"].map((key) =>
      [key, new Finder(document.querySelector(`[data-finder=${key}]`), { ratios: true, keep: true, onPick: (name) => go({ [key]: name }) })]));
    // What was typed and left counts, too.
    for (const key of ["x", "y"]) this.form[key].addEventListener("change", () => this.#typed(key));
    this.form.range.append(...RANGES.map(([text, from]) => el("option", { value: from }, text)));
    this.form.step.append(el("option", { value: "auto" }, "auto"), ...STEPS.map(([step]) => el("option", { value: step }, step)));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.step.addEventListener("change", () => go({ step: this.form.step.value }));
    this.form.range.addEventListener("change", () => go({ from: this.form.range.value, until: "now" }));
    this.values = document.querySelector("#relation details.table");
    this.values.addEventListener("toggle", () => this.#showValues());
    whenHealthChanges(() => this.#showPartial());
    byId("swap").onclick = () => go({ x: this.state.y, y: this.state.x });
    this.root = byId("scatter");
    this.tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    new ResizeObserver(() => this.plot?.setSize(sizeOf(this.root))).observe(this.root);
  }

  show(state) {
    this.state = state;
    this.isShown = true;
    for (const key of ["x", "y"]) this.finders[key].value = state[key];
    this.#showRange();
    this.#suggest();
    const complete = state.x !== "" && state.y !== "";
    for (const node of [this.root, byId("fit"), document.querySelector("#relation .links")]) node.hidden = !complete;
    if (complete) this.#load();
    else this.#clear();
  }

  hide() {
    this.isShown = false;
    this.turn.end();
  }

  recolor() {
    if (this.isShown && this.answer) this.#draw();
  }

  #clear() {
    this.turn.end();
    this.#forget();
  }

  #forget() {
    this.answer = null;
    this.plot?.destroy();
    this.plot = null;
    byId("fit").replaceChildren();
    this.values.querySelector("div").replaceChildren();
  }

  #typed(key) {
    const text = this.form[key].value.trim();
    if (text !== this.state[key]) this.go({ [key]: text });
  }

  #showRange() {
    const { range, step } = this.form;
    const { from, until } = this.state;
    const listed = until === "now" && RANGES.some(([, known]) => known === from);
    range.querySelector("[data-own]")?.remove();
    if (!listed) range.append(el("option", { value: from, "data-own": true }, "the chosen range"));
    range.value = from;
    step.value = STEPS.some(([known]) => known === this.state.step) ? this.state.step : "auto";
  }

  /** What the API knows as means, and what is plotted: each a click away. */
  async #suggest() {
    const key = this.state.y === "" ? "y" : "x";
    const root = byId("suggestions");
    const state = this.state;
    if (this.state.x !== "" && this.state.y !== "") {
      root.replaceChildren();
      return;
    }
    try {
      const { names } = await getJson("v1/names", [["query", "*.samples"], ["limit", SUGGESTIONS_MAX]]);
      const means = names.map(({ name }) => `${name.slice(0, -".samples".length)}/${name}`);
      const plotted = this.state.names.filter(isName);
      const popular = key === "y" ? (await getJson("v1/names", [["limit", SUGGESTIONS_MAX]])).names.map(({ name }) => name) : [];
      const offered = [...new Set(key === "y" ? [...plotted, ...popular] : [...means, ...plotted])];
      // Asked for another view meanwhile.
      if (this.state !== state) return;
      const own = [state.x, state.y];
      const buttons = offered.filter((name) => !own.includes(name)).slice(0, SUGGESTIONS_MAX).map((name) =>
        el("button", { type: "button", onclick: () => this.go({ [key]: name }) }, label(name)));
      root.replaceChildren(key === "y" ? "What is it about? " : `What may ${this.state.y} depend on? `, ...buttons);
    } catch (error) {
      showError(error.message);
    }
  }

  async #load() {
    const { x, y, from, until, step } = this.state;
    const rangeS = resolve(until) - resolve(from);
    const chosen = step === "auto" ? stepFor(Number.isFinite(rangeS) ? rangeS : 3_600, PAIRS_MAX) : step;
    const signal = this.turn.next();
    try {
      const answer = await getJson("v1/relation", [["x", x], ["y", y], ["from", from], ["until", until], ["step", chosen]], signal);
      // A pair of which one half is not known is nowhere on the plane.
      this.answer = { ...answer, x, y, pairs: answer.pairs.filter(([ofX, ofY]) => ofX !== null && ofY !== null) };
      this.form.step.options[0].textContent = `auto (${chosen})`;
      showError(null);
      this.#tell(chosen);
      this.#draw();
      this.#showValues();
      this.#showPartial();
      const rows = answer.pairs.map(([ofX, ofY, at]) => [isoTime(at), ofX, ofY]);
      setFile(byId("relation-csv"), csvUrl(["time", x, y], rows), "relation.csv");
    } catch (error) {
      if (isAbandoned(error)) return;
      showError(error.message);
      if (error.isFinal) this.#forget();
    }
  }

  #showValues() {
    if (!this.values.open || !this.answer) return;
    const { pairs, x, y } = this.answer;
    const table = el("table");
    showTable(table, "", ["Time", label(x), label(y)], pairs.slice(-ROWS_MAX).map(([ofX, ofY, at]) => [shownTime(at), shownNumber(ofX), shownNumber(ofY)]));
    const note = pairs.length > ROWS_MAX ? `The last ${ROWS_MAX} of ${pairs.length} rows; the CSV has all.` : "";
    this.values.querySelector("div").replaceChildren(note, table);
  }

  /** Who keeps the newest moments out of the picture. */
  #showPartial() {
    if (!this.isShown) return;
    const node = byId("relation-partial");
    const blamed = blame();
    node.hidden = blamed.length === 0 || !this.answer;
    node.textContent = `The newest moments are not complete, and not shown. ${blamed.map(({ region, reason }) => `Region ${region}: ${reason}.`).join(" ")}`;
  }

  #tell(step) {
    const { fit, correlation, n, x, y } = this.answer;
    const node = byId("fit");
    if (n === 0) {
      node.replaceChildren(el("p", {}, "No moment of this range has a value of both. Names are exact: upper and lower case differ."));
      return;
    }
    const sign = fit && fit.intercept < 0 ? "−" : "+";
    const line = fit
      ? el("p", { class: "equation" }, el("b", {}, label(y)), " ≈ ", el("b", {}, shownNumber(fit.slope)), " × ", el("b", {}, label(x)),
        ` ${sign} ${shownNumber(Math.abs(fit.intercept))}`)
      : el("p", {}, "No line fits: one of the two does not change.");
    const strength = correlation === null || correlation === undefined ? "" : ` Correlation ${correlation.toFixed(3)}: ${inWords(correlation)}.`;
    node.replaceChildren(line, el("p", {}, `${n} points, one for each ${step}.${strength}`));
  }

  #draw() {
    const palette = colors();
    const { x, y } = this.answer;
    const every = Math.ceil(this.answer.pairs.length / DOTS_MAX);
    const pairs = this.answer.pairs.filter((_, at) => at % every === 0);
    this.dots = pairs;
    const range = (values) => {
      const min = values.reduce((a, b) => Math.min(a, b));
      const max = values.reduce((a, b) => Math.max(a, b));
      const room = (max - min || Math.abs(max) || 1) * 0.05;
      return () => [min - room, max + room];
    };
    this.plot?.destroy();
    this.plot = null;
    this.root.replaceChildren();
    if (pairs.length === 0) return;
    const values = (_, splits) => splits.map((value) => (Math.abs(value) >= 10_000 ? shownCompact(value) : shownNumber(value)));
    const data = [0, 1].map((half) => pairs.map((pair) => pair[half]));
    this.plot = new uPlot({
      ...sizeOf(this.root), mode: 2, legend: { show: false }, padding: [12, 16, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: range(data[0]) }, y: { range: range(data[1]) } },
      axes: [axis(palette, { values, label: label(x), labelSize: 22 }), axis(palette, { values, size: 64, label: label(y), labelSize: 22 })],
      series: [null, { facets: [{ scale: "x", auto: true }, { scale: "y", auto: true }], paths: (plot) => dots(plot, data, palette) }],
      hooks: { draw: [(plot) => fitLine(plot, this.answer.fit, palette)], setCursor: [(plot) => this.#point(plot)] },
    }, [null, data], this.root);
    this.root.append(this.tip);
    this.root.setAttribute("role", "img");
    this.root.setAttribute("aria-label", `${label(y)} over ${label(x)}, ${pairs.length} points. ${byId("fit").textContent}`);
  }

  /** The point next to the pointer, in words. */
  #point(plot) {
    const { left, top } = plot.cursor;
    const near = left < 0 ? null : nearest(plot, this.dots, left, top);
    this.tip.hidden = !near;
    if (!near) return;
    const [x, y, at] = near;
    this.tip.replaceChildren(el("strong", {}, shownTime(at)),
      el("div", {}, el("span", {}, label(this.answer.y)), el("b", {}, shownNumber(y))),
      el("div", {}, el("span", {}, label(this.answer.x)), el("b", {}, shownNumber(x))));
    placeTip(this.tip, plot, left, top);
  }
}

/** Whether it can stand on an axis: a pattern is many names. */
export function isName(text) {
  return !/[*?{}[\]]/.test(text);
}

/** `web.load/web.load.samples` is a mean, and says so. */
function label(name) {
  const [sum, samples, ...rest] = name.split("/");
  return rest.length === 0 && samples === `${sum}.samples` ? `mean ${sum}` : name;
}

function inWords(correlation) {
  const strength = Math.abs(correlation);
  if (strength < 0.2) return "hardly any relation";
  const words = strength < 0.5 ? "a weak relation" : strength < 0.8 ? "a clear relation" : "a strong relation";
  return correlation < 0 ? `${words}, one falls as the other grows` : words;
}

/** Older points are paler. */
function dots(plot, [xs, ys], palette) {
  const { ctx } = plot;
  const radius = DOT_PX * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = palette.series[0];
  xs.forEach((x, at) => {
    ctx.globalAlpha = 0.25 + (0.6 * (at + 1)) / xs.length;
    ctx.beginPath();
    ctx.arc(plot.valToPos(x, "x", true), plot.valToPos(ys[at], "y", true), radius, 0, 2 * Math.PI);
    ctx.fill();
  });
  ctx.restore();
  return null;
}

function fitLine(plot, fit, palette) {
  if (!fit) return;
  const { ctx, bbox, scales } = plot;
  const at = (x) => [plot.valToPos(x, "x", true), plot.valToPos(fit.slope * x + fit.intercept, "y", true)];
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = palette.series[1];
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(...at(scales.x.min));
  ctx.lineTo(...at(scales.x.max));
  ctx.stroke();
  ctx.restore();
}

function nearest(plot, pairs, left, top) {
  let best = null;
  let least = REACH_PX ** 2;
  for (const pair of pairs) {
    const distance = (plot.valToPos(pair[0], "x") - left) ** 2 + (plot.valToPos(pair[1], "y") - top) ** 2;
    if (distance < least) [best, least] = [pair, distance];
  }
  return best;
}
