// Times, ranges and steps.

// Those of model::Step, against which tests/pipeline/same_rules.rs holds them.
export const STEPS = [
  ["1m", 60], ["5m", 300], ["15m", 900], ["1h", 3_600], ["6h", 21_600], ["1d", 86_400], ["1w", 604_800],
  ["1mo", 2_592_000],
];

export const RANGES = [
  ["1h", "-1h"], ["6h", "-6h"], ["24h", "-24h"], ["7d", "-7d"], ["30d", "-30d"], ["1y", "-365d"],
];

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

let zone = "utc";

export function setZone(name) {
  zone = name;
}

/** Clocks that differ by less are taken as one: the header has whole seconds, and comes late. */
const CLOCKS_APART_S = 3;

let serverAheadS = 0;

/** Takes the server's time from an answer's `Date`: what is late is late by its clock, not by the viewer's. */
export function noteServerDate(header) {
  const ahead = (Date.parse(header) - Date.now()) / 1000;
  if (Number.isFinite(ahead)) serverAheadS = Math.abs(ahead) > CLOCKS_APART_S ? ahead : 0;
}

export function nowS() {
  return Date.now() / 1000 + serverAheadS;
}

/** Unix seconds of what the API takes as a time; NaN where it would refuse it. */
export function resolve(text, now = nowS()) {
  if (text === "now") return now;
  const before = /^-(\d+)([smhdw])$/.exec(text);
  if (before) return now - Number(before[1]) * UNITS[before[2]];
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return NaN;
  // Without a zone, it is in the one that is shown.
  const isZoneless = /\d[ T]\d{1,2}:\d{2}(:\d{2})?$/.test(text);
  return Date.parse(isZoneless && zone === "utc" ? `${text}Z` : text) / 1000;
}

/** The finest step with which `rangeS` seconds have at most `pointsMax` points. */
export function stepFor(rangeS, pointsMax) {
  const step = STEPS.find(([, seconds]) => rangeS / seconds <= pointsMax) ?? STEPS.at(-1);
  return step[0];
}

export function stepSeconds(name) {
  return STEPS.find(([step]) => step === name)?.[1] ?? NaN;
}

/** The first minute that can be counted, 2000-01-01. */
const FIRST_S = 946_684_800;

/** A range as the address has it: one that reaches the present follows it. */
export function rangeOf(fromS, untilS, now = nowS()) {
  if (!Number.isFinite(fromS) || !Number.isFinite(untilS)) return {};
  const minute = (seconds) => Math.max(FIRST_S, Math.floor(seconds / 60) * 60);
  if (untilS >= now - 1) {
    return { from: `-${Math.max(1, Math.round((now - Math.max(FIRST_S, fromS)) / 60))}m`, until: "now" };
  }
  const from = minute(fromS);
  return { from: String(from), until: String(Math.max(from + 120, minute(untilS + 59))), live: false };
}

/** A Date whose local fields are those of the chosen zone, as uPlot wants it. */
export function zonedDate(unixS) {
  const date = new Date(unixS * 1000);
  return zone === "local" ? date : new Date(date.getTime() + date.getTimezoneOffset() * 60_000);
}

export function zoneName() {
  return zone === "local" ? "local" : "UTC";
}

const two = (number) => String(number).padStart(2, "0");

/** Fields of an instant in the chosen zone, two digits each. */
function fields(unixS, ...names) {
  const date = new Date(unixS * 1000);
  const get = zone === "local" ? "get" : "getUTC";
  return names.map((name) => two(date[get + name]() + (name === "Month" ? 1 : 0)));
}

/** `2026-11-24 10:05`, with seconds where there are any. */
export function shownTime(unixS) {
  const seconds = Math.floor(unixS) % 60 > 0 ? `:${fields(unixS, "Seconds")[0]}` : "";
  return `${fields(unixS, "FullYear", "Month", "Date").join("-")} ${fields(unixS, "Hours", "Minutes").join(":")}${seconds}`;
}

/** `2026-11-24T10:05:00Z`, as files have it. */
export function isoTime(unixS) {
  const date = new Date(unixS * 1000);
  return Number.isNaN(date.getTime()) ? String(unixS) : date.toISOString().replace(".000Z", "Z");
}

export function shownClock(unixS) {
  return fields(unixS, "Hours", "Minutes", "Seconds").join(":");
}

/** `12 s`, `3 min`, `2.5 h`, `4 days`. */
export function shownDuration(seconds) {
  if (seconds < 0.95) return "< 1 s";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3_600).toFixed(1)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** A count in full, a mean or a ratio to four digits; a dash for what is not known. Larger than a browser's numbers are exact, it says so. */
export function shownNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) return `≈ ${whole.format(value)}`;
  return Number.isInteger(value) || Math.abs(value) >= 10_000 ? whole.format(value) : precise.format(value);
}

export function shownCompact(value) {
  return compact.format(value);
}
