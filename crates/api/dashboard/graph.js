// The graph's view: names, range, step, and what is drawn of them.

import { byId, csvUrl, el, fillTable, setFile, showError, swatch } from "./dom.js";
import { isAbandoned, Turn } from "./api.js";
import { Chart, colors } from "./chart.js";
import { blame, whenHealthChanges } from "./health.js";
import { comparable, csvAddress, figures, load, PERIODS } from "./series.js";
import { isoTime, nowS, rangeOf, RANGES, resolve, shownDuration, shownNumber, shownTime, STEPS } from "./time.js";

/** A live graph asks again after so long, or a thirtieth of its step where that is longer. */
const LIVE_MS = 2_000;
const LIVE_STEPS = 1 / 30;

/** Rows of the table of values: a graph of more is read as CSV. */
const ROWS_MAX = 500;

const ZOOM_OUT = 3;
const ZOOM_IN = 1 / 2;
const RANGE_S_MIN = 120;

export class Graph {
  /** `go(patch)` shows another state. */
  constructor(go) {
    this.go = go;
    this.turn = new Turn();
    this.chart = new Chart(byId("chart"), { onZoom: (fromS, untilS) => go(rangeOf(fromS, untilS)) });
    this.form = byId("controls");
    this.#makeControls();
    whenHealthChanges(() => this.#showPartial());
  }

  show(state) {
    this.state = state;
    clearTimeout(this.timer);
    byId("plot").hidden = state.names.length === 0;
    if (state.names.length === 0) {
      this.turn.end();
      this.chart.clear();
      return;
    }
    this.#showControls();
    this.#load();
  }

  hide() {
    clearTimeout(this.timer);
    this.turn.end();
  }

  /** Draws what was loaded with the colors that are now. */
  recolor() {
    if (this.model) {
      this.chart.clear();
      this.#load();
    }
  }

  zoom(factor) {
    const { fromS, untilS } = this.#range();
    const length = Math.max(RANGE_S_MIN, (untilS - fromS) * factor);
    // One that follows the present keeps its end there.
    const middle = this.state.until === "now" ? untilS - length / 2 : (fromS + untilS) / 2;
    this.go(rangeOf(middle - length / 2, middle + length / 2));
  }

  zoomIn() { this.zoom(ZOOM_IN); }
  zoomOut() { this.zoom(ZOOM_OUT); }

  /** Half a range earlier (-1) or later (1). */
  pan(direction) {
    const { fromS, untilS } = this.#range();
    const by = (direction * (untilS - fromS)) / 2;
    const end = Math.min(nowS(), untilS + by);
    this.go(rangeOf(end - (untilS - fromS), end));
  }

  #range() {
    return { fromS: resolve(this.state.from), untilS: resolve(this.state.until) };
  }

  async #load() {
    const state = this.state;
    const signal = this.turn.next();
    const palette = colors().series;
    try {
      this.model = await load(state, byId("chart").clientWidth, palette, signal);
      showError(null);
      this.#draw();
    } catch (error) {
      if (isAbandoned(error)) return;
      showError(error.message);
    }
    this.#again(signal);
  }

  /** What is seen by nobody is not asked for. */
  #again(signal) {
    if (!this.state.live || signal.aborted) return;
    const step = this.model?.step ?? 60;
    this.timer = setTimeout(() => {
      if (document.hidden) this.#again(signal);
      else this.#load();
    }, Math.max(LIVE_MS, step * LIVE_STEPS * 1000));
  }

  #draw() {
    const { model } = this;
    this.chart.show(model);
    this.#showChips();
    this.#showLines();
    this.#showPartial();
    this.#showMarks();
    this.#showValues();
    this.form.step.options[0].textContent = `auto (${model.stepName})`;
    for (const period of PERIODS) this.form[`compare-${period.key}`].disabled = !comparable(period, model.stepName);
  }

  #makeControls() {
    const { form, go } = this;
    byId("ranges").append(...RANGES.map(([label, from]) =>
      el("button", { type: "button", "data-from": from, onclick: () => go({ from, until: "now", live: true }) }, label)));
    form.step.append(el("option", { value: "auto" }, "auto"), ...STEPS.map(([step]) => el("option", { value: step }, step)));
    byId("compare").append(...PERIODS.map(({ key, label }) =>
      el("label", {}, el("input", { type: "checkbox", name: `compare-${key}`, value: key }), ` ${label}`)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#changed());
    byId("earlier").onclick = () => this.pan(-1);
    byId("later").onclick = () => this.pan(1);
    byId("zoom-in").onclick = () => this.zoomIn();
    byId("zoom-out").onclick = () => this.zoomOut();
    byId("relate").onclick = () => go({ view: "relation", y: this.state.names[0] ?? "" });
    byId("csv").addEventListener("click", () => this.#prepareCsv());
    byId("marks").querySelector("div").classList.add("scroll");
    document.querySelector("#plot details.table").addEventListener("toggle", () => this.#showValues());
  }

  #changed() {
    const { form } = this;
    const until = asAddressed(form.until.value, "now");
    this.go({
      from: asAddressed(form.from.value, "-6h"), until, step: form.step.value, mode: form.mode.value,
      compare: PERIODS.map(({ key }) => key).filter((key) => form[`compare-${key}`].checked),
      live: form.live.checked && until === "now",
    });
  }

  #showControls() {
    const { form, state } = this;
    const shown = (text) => (/^\d+(\.\d+)?$/.test(text) ? isoTime(Number(text)).replace(":00Z", "Z") : text);
    form.from.value = shown(state.from);
    form.until.value = shown(state.until);
    form.step.value = STEPS.some(([step]) => step === state.step) ? state.step : "auto";
    form.mode.value = state.mode;
    form.live.checked = state.live;
    form.live.disabled = state.until !== "now";
    for (const { key } of PERIODS) form[`compare-${key}`].checked = state.compare.includes(key);
    for (const button of byId("ranges").children) {
      button.setAttribute("aria-pressed", String(state.until === "now" && button.dataset.from === state.from));
    }
    this.#showChips();
  }

  #showChips() {
    const remove = (name) => this.go({ names: this.state.names.filter((other) => other !== name) });
    const line = (name) => this.model?.lines.find((line) => line.label === name);
    byId("chips").replaceChildren(...this.state.names.map((name) =>
      el("li", {}, line(name) ? swatch(line(name)) : null, el("span", {}, name),
        el("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => remove(name) }, "×"))));
  }

  #showLines() {
    const { lines, stepName } = this.model;
    const name = (line, at) => el("label", {}, el("input", {
      type: "checkbox", checked: true, "aria-label": `Show ${line.label}`, onchange: (event) => this.chart.toggle(at, event.target.checked),
    }), swatch(line), line.label);
    const table = byId("lines");
    const known = [stepName, ...lines.map((line) => line.label)].join("\n");
    const cells = (line) => {
      const { total, mean, max, last } = figures(line);
      return [total, mean, max, last].map(shownNumber);
    };
    // A box that somebody has unticked stays as it is.
    if (table.dataset.lines === known) {
      lines.forEach((line, at) => cells(line).forEach((text, cell) => { table.tBodies[0].rows[at].cells[cell + 1].textContent = text; }));
      return;
    }
    table.dataset.lines = known;
    fillTable(table, ["Name", "Total", `Mean per ${stepName}`, "Most", "Last"], lines.map((line, at) => [name(line, at), ...cells(line)]));
    if (lines.length === 0) {
      fillTable(table, ["Name"], [["Nothing was counted under this name. Names are exact: upper and lower case differ."]]);
    }
  }

  /** Which part of the graph may still grow, and who is to blame. */
  #showPartial() {
    const { model } = this;
    if (!model || !this.state || this.state.view !== "graph") return;
    const node = byId("partial");
    const blamed = blame();
    const end = Math.min(model.until, nowS());
    const isOpen = model.completeUntil === null || model.completeUntil < model.until;
    node.hidden = !isOpen;
    node.classList.toggle("late", blamed.length > 0);
    if (model.completeUntil === null) {
      node.textContent = "Until when the counts are complete is not known.";
    } else if (blamed.length > 0) {
      const late = shownDuration(Math.max(0, end - model.completeUntil));
      node.textContent = `Shaded: not complete since ${shownTime(model.completeUntil)}, ${late}. `
        + blamed.map(({ region, reason }) => `Region ${region}: ${reason}.`).join(" ");
    } else {
      node.textContent = `Shaded: not over yet. Complete until ${shownTime(model.completeUntil)}.`;
    }
  }

  #showMarks() {
    const { marks } = this.model;
    const node = byId("marks");
    node.hidden = marks.length === 0;
    node.querySelector("summary").textContent = `${marks.length} ${marks.length === 1 ? "mark" : "marks"}`;
    const table = el("table");
    fillTable(table, ["When", "What", "Details", "Tags"],
      marks.map(({ when, what, data, tags }) => [shownTime(when), what, data ?? "", tags.join(" ")]));
    node.querySelector("div").replaceChildren(table);
  }

  #showValues() {
    const details = document.querySelector("#plot details.table");
    if (!details.open || !this.model) return;
    const { times, lines } = this.model;
    const table = el("table");
    const begin = Math.max(0, times.length - ROWS_MAX);
    fillTable(table, ["Time", ...lines.map((line) => line.label)],
      times.slice(begin).map((at, index) => [shownTime(at), ...lines.map((line) => shownNumber(line.values[begin + index]))]));
    details.querySelector("div").replaceChildren(
      begin > 0 ? `The last ${ROWS_MAX} of ${times.length} rows; the CSV has all.` : "", table);
  }

  /** The API's own file where the graph shows names as they are, else what is drawn. */
  #prepareCsv() {
    const { model, state } = this;
    if (!model) return;
    const file = `${state.names.join("+").replaceAll(/[^\w.+-]/g, "_").slice(0, 80)}.csv`;
    if (state.mode !== "sum" && state.compare.length === 0) {
      setFile(byId("csv"), csvAddress(state, model.stepName), file);
      return;
    }
    const rows = model.times.flatMap((at, index) =>
      model.lines.map((line) => [line.label, isoTime(at), line.values[index]]));
    setFile(byId("csv"), csvUrl(["name", "time", "count"], rows), file);
  }
}

/** A time as the address has it: an instant in seconds, whatever way it was typed. What is no time is for the API to refuse. */
function asAddressed(text, otherwise) {
  const typed = text.trim() || otherwise;
  const seconds = resolve(typed);
  return /^(now|-.*)$/.test(typed) || !Number.isFinite(seconds) ? typed : String(Math.floor(seconds));
}
