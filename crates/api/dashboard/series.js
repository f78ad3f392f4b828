// Counts from the API, made into the lines of a graph.

import { getJson, isAbandoned, Refused } from "./api.js";
import { resolve, stepFor, stepSeconds } from "./time.js";

export const PERIODS = [
  { key: "1d", label: "yesterday", seconds: 86_400, dash: [6, 4] },
  { key: "7d", label: "last week", seconds: 604_800, dash: [2, 3] },
];

/** Pixels that a point should have at least. */
const PX_PER_POINT = 1.25;

/** More lines than anybody can tell apart; the API sums far more. */
const LINES_MAX = 200;

/** As the API would refuse it. */
const BAD_REQUEST = 400;

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

/** Loads what `state` shows: times, and the lines of the present and of the periods it is compared with. */
export async function load(state, width, signal) {
  const step = chosenStep(state, width);
  const answer = await getJson("v1/series", query(state, state.from, state.until, step), signal);
  if (answer.series.length > LINES_MAX) {
    throw new Refused(`more than ${LINES_MAX} series: give a pattern with a longer beginning`, BAD_REQUEST);
  }
  const periods = PERIODS.filter((period) => state.compare.includes(period.key) && comparable(period, step));
  const [marks, ...earlier] = await Promise.all([
    loadMarks(answer, signal),
    ...periods.map(({ seconds }) =>
      getJson("v1/series", query(state, answer.from - seconds, answer.until - seconds, step), signal)),
  ]);
  const times = bucketTimes([answer, ...earlier.map((e, at) => shifted(e, periods[at].seconds))]);
  return {
    stepName: step, from: answer.from, until: answer.until, completeUntil: answer.complete_until, times, ...marks, periods,
    present: answer.series.map((series) => ({ label: series.name, values: valuesAt(series, times, 0) })),
    past: earlier.flatMap((e, at) => pastLines(e, periods[at], times)),
  };
}

/** A graph is a graph without its marks, too. */
async function loadMarks({ from, until }, signal) {
  try {
    const { annotations, more } = await getJson("v1/annotations", [["from", from], ["until", until]], signal);
    return { marks: annotations, marksNote: more ? `The newest ${annotations.length} marks` : null };
  } catch (error) {
    if (isAbandoned(error)) throw error;
    return { marks: [], marksNote: error.message };
  }
}

/** What is drawn of what was loaded: `mode`, without the lines whose labels are in `hidden`. */
export function arrange(loaded, mode, hidden, colors) {
  const { present, past, periods, times, completeUntil, until } = loaded;
  const ends = (index) => times[index + 1] ?? until;
  const firstOpen = times.findIndex((_, index) => completeUntil === null || ends(index) > completeUntil);
  const colored = present.map((one, at) =>
    line(one, colors[at % colors.length], at < colors.length ? undefined : [8, 3, 2, 3], null, hidden));
  const colorOf = new Map(colored.map(({ label, color }) => [label, color]));
  const earlier = past.map((one, at) => line(one, colorOf.get(one.name) ?? colors[at % colors.length], one.period.dash, one.period, hidden));
  return {
    ...loaded, ends, open: firstOpen < 0 ? times.length : firstOpen,
    lines: drawnAs(mode, colored, earlier, periods, hidden),
  };
}

function line({ label, values }, color, dash, period, hidden) {
  return { label, color, dash, values, drawn: values, period, show: !hidden.has(label) };
}

function pastLines(answer, period, times) {
  return answer.series.map((series) =>
    ({ name: series.name, label: `${series.name}, ${period.label}`, values: valuesAt(series, times, period.seconds), period }));
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
function drawnAs(mode, present, past, periods, hidden) {
  if (mode === "lines" || present.length + past.length === 0) return [...present, ...past];
  const color = present[0]?.color ?? past[0].color;
  const sumOf = (label, lines, period) =>
    line({ label, values: lines[0].values.map((_, at) => total(lines.map(({ values }) => values[at]))) }, color, period?.dash, period, hidden);
  const sums = periods.flatMap((period) => {
    const lines = past.filter((one) => one.period === period);
    return lines.length > 0 ? [sumOf(`sum, ${period.label}`, lines, period)] : [];
  });
  if (mode === "stack") return [...stacked(present), ...sums];
  return [...(present.length > 0 ? [sumOf(`sum of ${present.length} names`, present, null)] : []), ...sums];
}

/** Nothing is known of a sum of which nothing is known. */
function total(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
}

/** The first name is the lowest; each is drawn on top of those before it that are shown. */
function stacked(lines) {
  let below = null;
  let above;
  return lines.map((one, at) => {
    if (!one.show) return one;
    const drawn = one.values.map((value, index) => total([value, below?.[index] ?? null]));
    const layer = { ...one, drawn, fill: `color-mix(in srgb, ${one.color} 45%, transparent)`, above };
    below = drawn;
    above = at;
    return layer;
  });
}

/** The sum of what is known of a line; mean, greatest and last of its buckets that are over. */
export function figures({ values, period }, open) {
  const known = (counts) => counts.filter((count) => count !== null);
  const over = known(period ? values : values.slice(0, open));
  return {
    total: total(values),
    mean: over.length > 0 ? total(over) / over.length : null,
    most: over.length > 0 ? over.reduce((a, b) => Math.max(a, b)) : null,
    last: over.at(-1) ?? null,
  };
}
