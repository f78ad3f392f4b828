// Times, ranges and steps.

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

export function nowS() {
  return Date.now() / 1000;
}

/** Unix seconds of what the API takes as a time; NaN where it would refuse it. */
export function resolve(text, now = nowS()) {
  if (text === "now") return now;
  const before = /^-(\d+)([smhdw])$/.exec(text);
  if (before) return now - Number(before[1]) * UNITS[before[2]];
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
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

/** A range as the address has it: one that reaches the present follows it. */
export function rangeOf(fromS, untilS, now = nowS()) {
  const minute = (seconds) => Math.floor(seconds / 60) * 60;
  if (untilS >= now - 1) {
    return { from: `-${Math.max(1, Math.round((now - fromS) / 60))}m`, until: "now" };
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
  return new Date(unixS * 1000).toISOString().replace(".000Z", "Z");
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

/** A count in full, a mean or a ratio to four digits; a dash for what is not known. */
export function shownNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Number.isInteger(value) || Math.abs(value) >= 10_000 ? whole.format(value) : precise.format(value);
}

export function shownCompact(value) {
  return compact.format(value);
}
