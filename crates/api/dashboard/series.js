// Counts from the API, made into the lines of a graph.

import { getJson } from "./api.js";
import { resolve, stepFor, stepSeconds } from "./time.js";

export const PERIODS = [
  { key: "1d", label: "yesterday", seconds: 86_400, dash: [6, 4] },
  { key: "7d", label: "last week", seconds: 604_800, dash: [2, 3] },
];

/** Pixels that a point should have at least. */
const PX_PER_POINT = 1.25;

/** The steps that a graph of `width` pixels can show; what is chosen by hand may be finer. */
export function chosenStep(state, width) {
  if (Number.isFinite(stepSeconds(state.step))) return state.step;
  const rangeS = resolve(state.until) - resolve(state.from);
  return stepFor(Number.isFinite(rangeS) ? rangeS : 3_600, Math.max(200, width / PX_PER_POINT));
}

/** Whether a period's buckets fall onto the present ones: a day back is no whole number of weeks. */
export function comparable(period, step) {
  const seconds = stepSeconds(step);
  return step !== "1mo" && period.seconds % seconds === 0;
}

function query(state, from, until, step) {
  return [...state.names.map((name) => ["name", name]), ["from", from], ["until", until], ["step", step]];
}

/** The API's own CSV of the names, with exact counts of any size. */
export function csvAddress(state, step) {
  return `v1/series?${new URLSearchParams([...query(state, state.from, state.until, step), ["format", "csv"]])}`;
}

/** Loads what `state` shows: the answer as it came, and the lines to draw. */
export async function load(state, width, colors, signal) {
  const step = chosenStep(state, width);
  const answer = await getJson("v1/series", query(state, state.from, state.until, step), signal);
  const periods = PERIODS.filter((period) => state.compare.includes(period.key) && comparable(period, step));
  const [marks, ...earlier] = await Promise.all([
    getJson("v1/annotations", [["from", answer.from], ["until", answer.until]], signal),
    ...periods.map(({ seconds }) =>
      getJson("v1/series", query(state, answer.from - seconds, answer.until - seconds, step), signal)),
  ]);
  const times = bucketTimes([answer, ...earlier.map((e, at) => shifted(e, periods[at].seconds))]);
  const present = answer.series.map((series, at) =>
    line(series.name, colors[at % colors.length], at < colors.length ? undefined : [8, 3, 2, 3], valuesAt(series, times, 0)));
  const past = earlier.flatMap((answer, at) => pastLines(answer, periods[at], present, times, colors));
  return {
    stepName: step, step: answer.step, from: answer.from, until: answer.until,
    completeUntil: answer.complete_until, times, marks: marks.annotations,
    names: present.length,
    lines: arranged(state.mode, present, past, periods),
  };
}

function line(label, color, dash, values, period) {
  return { label, color, dash, values, drawn: values, period };
}

function pastLines(answer, period, present, times, colors) {
  return answer.series.map((series, at) => {
    const now = present.find((line) => line.label === series.name);
    return line(`${series.name}, ${period.label}`, now?.color ?? colors[at % colors.length], period.dash,
      valuesAt(series, times, period.seconds), period);
  });
}

function shifted(answer, seconds) {
  return { series: answer.series.map(({ points }) => ({ points: points.map(([at, value]) => [at + seconds, value]) })) };
}

/** Starts of all buckets: all series of one answer have the same. */
function bucketTimes(answers) {
  return answers.find(({ series }) => series.length > 0)?.series[0].points.map(([at]) => at) ?? [];
}

function valuesAt({ points }, times, shiftS) {
  if (points.length === times.length && points[0]?.[0] + shiftS === times[0]) return points.map(([, value]) => value);
  const byTime = new Map(points.map(([at, value]) => [at + shiftS, value]));
  return times.map((at) => byTime.get(at) ?? null);
}

/** Lines as `mode` draws them: as they are, one upon the other, or their sum. */
function arranged(mode, present, past, periods) {
  if (mode === "lines") return [...present, ...past];
  const sums = periods.map((period) =>
    sum(`sum, ${period.label}`, past.filter((line) => line.period === period), present[0]?.color, period));
  if (mode === "sum") return [sum(`sum of ${present.length} names`, present, present[0]?.color), ...sums].filter(Boolean);
  return [...stacked(present), ...sums].filter(Boolean);
}

function sum(label, lines, color, period) {
  if (lines.length === 0) return null;
  return line(label, color, period?.dash, lines[0].values.map((_, at) => total(lines.map((line) => line.values[at]))), period);
}

/** Nothing is known of a sum of which nothing is known. */
function total(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
}

/** The first name is the lowest; each is drawn on top of those before it. */
function stacked(lines) {
  let below = null;
  return lines.map((line, at) => {
    const drawn = line.values.map((value, index) => total([value, below?.[index] ?? null]));
    below = drawn;
    return { ...line, drawn, fill: `color-mix(in srgb, ${line.color} 45%, transparent)`, above: at > 0 ? at - 1 : undefined };
  });
}

/** Sum, mean and greatest of what is known of a line, and how many buckets that is. */
export function figures({ values }) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { total: null, mean: null, max: null, last: null };
  const total = known.reduce((a, b) => a + b, 0);
  return { total, mean: total / known.length, max: known.reduce((a, b) => Math.max(a, b)), last: known.at(-1) };
}
