// The form above the graph: range, step, how it is drawn, what it is compared with.

import { byId, el } from "./dom.js";
import { comparable, PERIODS } from "./series.js";
import { isoTime, RANGES, resolve, STEPS } from "./time.js";

export class Controls {
  /** `go(patch)` shows another state. */
  constructor(go) {
    this.go = go;
    const form = byId("controls");
    this.form = form;
    byId("ranges").append(...RANGES.map(([label, from]) =>
      el("button", { type: "button", "data-from": from, onclick: () => go({ from, until: "now", live: true }) }, label)));
    form.step.append(el("option", { value: "auto" }, "auto"), ...STEPS.map(([step]) => el("option", { value: step }, step)));
    byId("compare").append(...PERIODS.map(({ key, label }) =>
      el("label", {}, el("input", { type: "checkbox", name: `compare-${key}`, value: key }), ` ${label}`)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#changed());
  }

  show(state) {
    const { form } = this;
    this.state = state;
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
  }

  /** What is drawn at this step. */
  showStep(stepName) {
    this.form.step.options[0].textContent = `auto (${stepName})`;
    for (const period of PERIODS) this.form[`compare-${period.key}`].disabled = !comparable(period, stepName);
  }

  #changed() {
    const { form, state } = this;
    const until = asAddressed(form.until.value, "now");
    this.go({
      from: asAddressed(form.from.value, "-6h"), until, step: form.step.value, mode: form.mode.value,
      compare: PERIODS.map(({ key }) => key).filter((key) => form[`compare-${key}`].checked),
      // One that comes back to the present follows it.
      live: until === "now" && (form.live.checked || state.until !== "now"),
    });
  }
}

/** A time as the address has it: an instant in seconds, whatever way it was typed. What is no time is for the API to refuse. */
function asAddressed(text, otherwise) {
  const typed = text.trim() || otherwise;
  const seconds = resolve(typed);
  return /^(now|-.*)$/.test(typed) || !Number.isFinite(seconds) ? typed : String(Math.floor(seconds));
}
