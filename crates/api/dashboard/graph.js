// The graph's view: names, and what is drawn of them.

import { byId, csvUrl, el, saveFile, setFile, showError, showTable, swatch } from "./dom.js";
import { getText, isAbandoned, Turn } from "./api.js";
import { Chart, colors } from "./chart.js";
import { Controls } from "./controls.js";
import { blame, whenHealthChanges } from "./health.js";
import { showMarks } from "./marks.js";
import { arrange, csvAddress, figures, load } from "./series.js";
import { isoTime, nowS, rangeOf, resolve, shownDuration, shownNumber, shownTime, stepSeconds } from "./time.js";
import { token } from "./token.js";

/** A live graph asks again after so long, after a thirtieth of its step, or five times what an answer takes, whichever is longest. */
const LIVE_MS = 2_000;
const LIVE_STEPS = 1 / 30;
const LIVE_ANSWERS = 5;
const LIVE_MS_MAX = 60_000;

const AFTER_FAILURE_MS = 5_000;

/** Rows and cells of the table of values: a graph of more is read as CSV. */
const ROWS_MAX = 500;
const CELLS_MAX = 20_000;

const ZOOM_OUT = 3;
const ZOOM_IN = 1 / 2;
const RANGE_S_MIN = 120;

export class Graph {
  /** `go(patch)` shows another state. */
  constructor(go) {
    this.go = go;
    this.turn = new Turn();
    /** Labels of lines that were unticked. */
    this.hidden = new Set();
    this.chart = new Chart(byId("chart"), { onZoom: (fromS, untilS) => go(rangeOf(fromS, untilS)) });
    this.controls = new Controls(go);
    byId("earlier").onclick = () => this.pan(-1);
    byId("later").onclick = () => this.pan(1);
    byId("zoom-in").onclick = () => this.zoomIn();
    byId("zoom-out").onclick = () => this.zoomOut();
    byId("csv").addEventListener("click", (event) => this.#prepareCsv(event));
    this.values = document.querySelector("#plot details.table");
    this.values.addEventListener("toggle", () => this.#showValues());
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.state?.live) this.reload(); });
    whenHealthChanges(() => {
      this.#showPartial();
      // Which of them may be removed is the token's to say.
      if (this.model && this.isShown) this.#showMarks();
    });
  }

  show(state) {
    this.state = state;
    this.isShown = state.names.length > 0;
    byId("plot").hidden = !this.isShown;
    if (!this.isShown) {
      this.hide();
      this.#forget();
      return;
    }
    this.controls.show(state);
    this.#showChips();
    byId("plot").setAttribute("aria-busy", "true");
    this.reload();
  }

  hide() {
    this.isShown = false;
    clearTimeout(this.timer);
    this.turn.end();
  }

  /** Asks again, and once more while it is live. */
  reload() {
    if (this.isShown) this.#load();
  }

  /** Draws what was loaded with the colors and the time zone that are now. */
  recolor() {
    this.chart.clear();
    if (this.isShown && this.loaded) this.#draw();
  }

  zoom(factor) {
    const { fromS, untilS } = this.#range();
    const length = Math.max(RANGE_S_MIN, (untilS - fromS) * factor);
    // One that follows the present keeps its end there.
    const middle = this.state.until === "now" ? untilS - length / 2 : (fromS + untilS) / 2;
    this.go(rangeOf(middle - length / 2, middle + length / 2));
  }

  /** Of the lines that are drawn. */
  firstName() {
    return this.loaded?.present[0]?.label;
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
    clearTimeout(this.timer);
    const signal = this.turn.next();
    const begun = performance.now();
    let pauseMs;
    try {
      this.loaded = await load(this.state, byId("chart").clientWidth, signal);
      const tookMs = performance.now() - begun;
      pauseMs = Math.min(LIVE_MS_MAX, Math.max(LIVE_MS, tookMs * LIVE_ANSWERS, stepSeconds(this.loaded.stepName) * LIVE_STEPS * 1000));
      showError(null);
      this.#draw();
    } catch (error) {
      if (isAbandoned(error)) return;
      showError(error.message);
      // Figures of another question would stand under this one's names.
      if (error.isFinal) this.#forget();
      pauseMs = error.isFinal ? null : AFTER_FAILURE_MS;
    }
    byId("plot").setAttribute("aria-busy", "false");
    if (this.state.live && pauseMs !== null) this.timer = setTimeout(() => this.#again(), pauseMs);
  }

  /** What is seen by nobody is not asked for: it is when it is seen again. */
  #again() {
    if (!document.hidden) this.reload();
  }

  #forget() {
    this.loaded = null;
    this.model = null;
    this.chart.clear();
    byId("lines").replaceChildren();
    delete byId("lines").dataset.key;
    byId("partial").hidden = true;
    byId("marks").hidden = true;
  }

  #draw() {
    this.model = arrange(this.loaded, this.state.mode, this.hidden, colors().series);
    this.chart.show(this.model);
    this.#showChips();
    this.#showLines();
    this.#showPartial();
    this.#showMarks();
    this.#showValues();
    this.controls.showStep(this.model.stepName);
  }

  #showMarks() {
    showMarks(this.model, () => this.reload());
  }

  #showChips() {
    const { names } = this.state;
    const line = (name) => this.model?.lines.find(({ label }) => label === name);
    const key = JSON.stringify(names.map((name) => [name, line(name)?.color]));
    if (key === this.chipsKey) return;
    this.chipsKey = key;
    const remove = (name) => {
      const at = names.indexOf(name);
      this.go({ names: names.filter((other) => other !== name) });
      (byId("chips").querySelectorAll("button")[Math.min(at, names.length - 2)] ?? byId("search")).focus();
    };
    byId("chips").replaceChildren(...names.map((name) =>
      el("li", {}, line(name) ? swatch(line(name)) : null, el("span", {}, name),
        el("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => remove(name) }, "×"))));
  }

  #showLines() {
    const { lines, stepName, open } = this.model;
    const toggle = (label, show) => {
      if (show) this.hidden.delete(label);
      else this.hidden.add(label);
      this.#draw();
    };
    const name = (line) => el("label", {}, el("input", {
      type: "checkbox", checked: line.show, "aria-label": `Show ${line.label}`, onchange: (event) => toggle(line.label, event.target.checked),
    }), swatch(line), line.label);
    const cells = (line) => {
      const { total, mean, most, last } = figures(line, open);
      return [total, mean, most, last].map(shownNumber);
    };
    const key = JSON.stringify([stepName, lines.map(({ label, color }) => [label, color])]);
    if (lines.length === 0) {
      showTable(byId("lines"), key, ["Name"], [["Nothing was counted under this name. Names are exact: upper and lower case differ."]]);
    } else {
      showTable(byId("lines"), key, ["Name", "Total", `Mean per ${stepName}`, "Most", "Last complete"], lines.map((line) => [name(line), ...cells(line)]));
    }
  }

  /** Which part of the graph may still grow, and who is to blame. */
  #showPartial() {
    const { model } = this;
    if (!model || !this.isShown) return;
    const node = byId("partial");
    const blamed = blame();
    node.hidden = model.open >= model.times.length;
    node.classList.toggle("late", blamed.length > 0);
    if (model.completeUntil === null) {
      node.textContent = "Shaded: until when the counts are complete is not known.";
    } else if (blamed.length > 0) {
      const late = shownDuration(Math.max(0, Math.min(model.until, nowS()) - model.completeUntil));
      node.textContent = `Shaded: not complete since ${shownTime(model.completeUntil)}, ${late}. `
        + blamed.map(({ region, reason }) => `Region ${region}: ${reason}.`).join(" ");
    } else {
      node.textContent = `Shaded: not over yet. Complete until ${shownTime(model.completeUntil)}.`;
    }
  }

  #showValues() {
    if (!this.values.open || !this.model) return;
    const { times, lines, stepName } = this.model;
    const root = this.values.querySelector("div");
    const rows = Math.min(ROWS_MAX, Math.floor(CELLS_MAX / (lines.length + 1)));
    const begin = Math.max(0, times.length - rows);
    let table = root.querySelector("table");
    if (!table) {
      table = el("table");
      root.replaceChildren(el("p"), table);
    }
    root.querySelector("p").textContent = begin > 0 ? `The last ${rows} of ${times.length} rows; the CSV has all.` : "";
    showTable(table, JSON.stringify([stepName, times[begin], shownTime(0), lines.map(({ label }) => label)]), ["Time", ...lines.map((line) => line.label)],
      times.slice(begin).map((at, index) => [shownTime(at), ...lines.map((line) => shownNumber(line.values[begin + index]))]));
  }

  /** The API's own file where the graph shows names as they are, else what is drawn. */
  #prepareCsv(event) {
    const { model, state } = this;
    if (!model) return event.preventDefault();
    const file = `${state.names.join("+").replaceAll(/[^\w.+-]/g, "_").slice(0, 80)}.csv`;
    if (state.mode !== "sum" && state.compare.length === 0) {
      const address = csvAddress(state, model.stepName);
      if (token() === null) {
        setFile(byId("csv"), address, file);
      } else {
        // A link brings no token.
        event.preventDefault();
        this.#saveCsv(address, file);
      }
      return undefined;
    }
    const rows = model.times.flatMap((at, index) => model.lines.map((line) => [line.label, isoTime(at), line.values[index]]));
    setFile(byId("csv"), csvUrl(["name", "time", "count"], rows), file);
    return undefined;
  }

  async #saveCsv(address, file) {
    try {
      saveFile(await getText(address), file);
    } catch (error) {
      showError(error.message);
    }
  }
}
