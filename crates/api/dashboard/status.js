// The data's way, region by region, as the centre knows it.

import { byId, csvUrl, el, setFile, showError, showTable } from "./dom.js";
import { allow } from "./admission.js";
import { getJson } from "./api.js";
import { health, whenHealthChanges } from "./health.js";
import { isoTime, nowS, shownClock, shownDuration, shownNumber, shownTime } from "./time.js";

/** What is older is not on its way, but stuck. */
const LAG_S_MAX = 10;

const CLOCK_ALONE_S = 12 * 3_600;

export class Status {
  constructor() {
    byId("audit-run").onclick = () => this.#audit();
    byId("status-csv").addEventListener("click", () => this.#prepareCsv());
    whenHealthChanges(() => this.#draw());
  }

  show() {
    this.visible = true;
    this.#draw();
  }

  hide() {
    this.visible = false;
  }

  #draw() {
    const { status, failure } = health();
    if (!this.visible) return;
    showError(failure);
    if (!status) return;
    byId("summary").replaceChildren(...summary(status));
    byId("map").replaceChildren(map(status));
    const alarms = status.alarms.map(({ region, kind, sentence, since }) =>
      el("li", { class: "alarm" }, el("b", {}, `${region || "centre"} · ${kind}`), ` ${sentence} `, el("small", {}, `since ${shownTime(since)}`)));
    // Left alone while it says the same: somebody may be reading it.
    const said = JSON.stringify(status.alarms);
    if (said !== this.alarmsSaid) byId("alarms").replaceChildren(...(alarms.length > 0 ? alarms : [el("li", {}, "None.")]));
    this.alarmsSaid = said;
    showShards(status.shards);
    if (!this.isAuditing) allow(byId("audit-run"), "admin");
  }

  async #audit() {
    const node = byId("audit");
    node.textContent = "Auditing…";
    this.isAuditing = true;
    byId("audit-run").disabled = true;
    try {
      const audit = await getJson("v1/audit", [["from", "-24h"]]);
      const table = el("table");
      showTable(table, "", ["Region", "Sum at the centre", "Verdict"],
        audit.regions.map(({ region, sum, verdict, reason }) => [region, shownNumber(sum), reason ? `${verdict}: ${reason}` : verdict]));
      node.replaceChildren(
        el("p", { class: audit.equal ? "good" : "bad" }, audit.equal
          ? `Equal: ${shownNumber(audit.compared)} minutes and packed days compared.`
          : `${shownNumber(audit.gaps_total)} of ${shownNumber(audit.compared)} differ.`),
        el("ul", { class: "plain" }, ...audit.gaps.map((gap) => el("li", {}, gap))), table);
    } catch (error) {
      node.replaceChildren(el("p", { class: "bad" }, error.message));
    } finally {
      this.isAuditing = false;
      byId("audit-run").disabled = false;
    }
  }

  #prepareCsv() {
    const regions = health().status?.regions ?? [];
    const rows = regions.map(({ region, queue, replication, lag_s, hold_s, clock, held_back }) =>
      [region, queue?.ready, queue?.reserved, queue?.delayed, queue?.buried, queue?.oldest_job_age_s, replication?.running, lag_s, hold_s, clock === null ? null : isoTime(clock), held_back]);
    const head = ["region", "ready", "reserved", "delayed", "buried", "oldest_job_age_s", "replication_running", "lag_s", "hold_s", "complete_until", "held_back"];
    setFile(byId("status-csv"), csvUrl(head, rows), "status.csv");
  }
}

function summary({ complete_until: until, regions, alarms }) {
  const late = regions.filter((region) => region.held_back);
  if (until === null) return ["Until when the counts are complete is not known yet."];
  const behind = shownDuration(Math.max(0, nowS() - until));
  const text = late.length > 0
    ? `${late.map(({ region }) => region).join(" and ")} ${late.length > 1 ? "hold" : "holds"} everything back.`
    : "Every region is on time.";
  const more = alarms.length > 0 ? ` ${alarms.length} ${alarms.length > 1 ? "alarms" : "alarm"}.` : "";
  return [el("b", {}, `Complete until ${shownTime(until)}`), `, ${behind} ago. ${text}${more}`];
}

/** A row for each region, from its web servers to the centre that all of them share. */
function map(status) {
  const rows = status.regions.flatMap((region, at) => {
    const cells = stations(region);
    const row = [
      el("h2", { class: "place" }, region.region), ...cells,
      region.held_back ? el("p", { class: "reason" }, `Held back: ${region.held_back}`) : null,
    ].filter(Boolean);
    for (const cell of row) cell.style.gridRow = String(2 * at + (cell.classList.contains("reason") ? 2 : 1));
    return row;
  });
  const centre = station("centre", status.complete_until === null ? "late" : "good", status.centre, [
    ["complete until", shownInstant(status.complete_until)],
    ["minutes", shownNumber(total(status.shards, "rows"))],
    ["packed days", shownNumber(total(status.shards, "packed_days"))],
    ["on disk", shownBytes(total(status.shards, "bytes") + total(status.shards, "packed_bytes"))],
    ...status.centres.filter(({ name }) => name !== status.centre).map(({ name, answers }) => [name, answers ? "answers" : "does not answer"]),
  ]);
  centre.style.gridRow = `1 / ${Math.max(2, 2 * status.regions.length + 1)}`;
  return el("div", { class: "map" }, ...rows, centre);
}

function stations({ queue, replication, lag_s: lag, hold_s: hold, clock, held_back: reason, clock_ahead_s: ahead }) {
  const clockLate = clock === null ? Infinity : nowS() - clock;
  return [
    station("collector", "", "web servers → collectors", []),
    station("queue", !queue ? "late" : queue.buried > 0 ? "bad" : (queue.oldest_job_age_s ?? 0) > LAG_S_MAX ? "late" : "good", "queue", !queue ? [["", "not heard of yet"]] : [
      ["ready", shownNumber(queue.ready)], ["reserved", shownNumber(queue.reserved)],
      queue.delayed > 0 ? ["delayed", shownNumber(queue.delayed)] : null,
      ["buried", shownNumber(queue.buried)],
      ["oldest job", queue.oldest_job_age_s === null ? "none" : shownDuration(queue.oldest_job_age_s)],
    ]),
    station("worker", clock === null || reason ? "late" : "good", "workers", [
      ["complete until", shownInstant(clock)],
      ["behind", clock === null ? "–" : shownDuration(Math.max(0, clockLate))],
      hold === null ? null : ["counts held for", `${hold.toFixed(1)} s`],
    ]),
    station("link", !replication ? "late" : !replication.running ? "bad" : (lag ?? Infinity) > LAG_S_MAX ? "late" : "good", "replication", !replication ? [["", "not attached"]] : [
      ["", replication.running ? "running" : "stopped"],
      ["last heard", lag === null ? "–" : `${shownDuration(lag)} ago`],
      ahead === null ? null : ["clock", `${ahead >= 0 ? "+" : "−"}${Math.abs(ahead).toFixed(1)} s`],
    ]),
  ];
}

/** The time alone, of an instant of the last hours. */
function shownInstant(unixS) {
  if (unixS === null) return "–";
  return nowS() - unixS < CLOCK_ALONE_S ? shownClock(unixS) : shownTime(unixS);
}

const STATES = { good: "on time", late: "late", bad: "needs an operator" };

function station(kind, state, title, facts) {
  const words = STATES[state];
  return el("div", { class: `station ${kind} ${state}` },
    el("h3", {}, title, words ? el("span", { class: "state" }, words) : null),
    facts.length === 0 ? null : el("dl", {}, ...facts.filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

function showShards(all) {
  const root = byId("shards");
  root.querySelector("summary").textContent =
    `${all.length} shards, ${shownNumber(total(all, "rows"))} minutes and ${shownNumber(total(all, "packed_days"))} packed days`;
  showTable(root.querySelector("table"), "shards", ["Shard", "Minutes", "Packed days", "On disk"], all.map((shard) =>
    [String(shard.shard), shownNumber(shard.rows), shownNumber(shard.packed_days), shownBytes(shard.bytes + shard.packed_bytes)]));
}

function total(list, key) {
  return list.reduce((sum, one) => sum + one[key], 0);
}

function shownBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** at).toFixed(at > 0 ? 1 : 0)} ${units[at]}`;
}
