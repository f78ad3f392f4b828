// Marks, such as deployments: listed, added, removed.

import { byId, el, showError, showTable } from "./dom.js";
import { denial } from "./admission.js";
import { postJson, remove } from "./api.js";
import { resolve, shownTime } from "./time.js";

/** Lists the marks of a graph; `changed` is called when one was removed. */
export function showMarks({ marks, marksNote }, changed) {
  const node = byId("marks");
  node.hidden = marks.length === 0 && !marksNote;
  node.querySelector("summary").textContent = marksNote ?? `${marks.length} ${marks.length === 1 ? "mark" : "marks"}`;
  const denied = denial("write");
  const button = ({ id, what }) => el("button", {
    type: "button", "aria-label": `Remove the mark ${what}`, disabled: denied !== null, title: denied, onclick: () => removeMark(id, changed),
  }, "Remove");
  const span = ({ when, until }) => (until === null ? shownTime(when) : `${shownTime(when)} – ${shownTime(until)}`);
  showTable(node.querySelector("table"), JSON.stringify([marks.map(({ id }) => id), shownTime(0), denied]), ["When", "What", "Details", "Tags", "Remove"],
    marks.map((mark) => [span(mark), mark.what, mark.data, mark.tags.join(" "), button(mark)]));
}

async function removeMark(id, changed) {
  try {
    await remove(`v1/annotations/${id}`);
    changed();
  } catch (error) {
    showError(error.message);
  }
}

/** Opens the dialog that adds a mark; `done` is called when it is stored. */
export function askForMark(done) {
  const dialog = byId("mark-dialog");
  const form = dialog.querySelector("form");
  const error = dialog.querySelector(".error");
  const say = (sentence) => { error.textContent = sentence; error.hidden = !sentence; };
  // A second try adds no second mark.
  const id = newId();
  say("");
  form.reset();
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    const when = resolve(form.when.value.trim());
    if (!Number.isFinite(when)) return say("When is not a time: use now, -10m, or a time such as 2026-11-24T10:00:00Z.");
    event.submitter.disabled = true;
    try {
      await postJson("v1/annotations", {
        id, what: form.what.value.trim(), data: form.data.value.trim(), when,
        tags: form.tags.value.split(/[\s,]+/).filter(Boolean),
      });
      dialog.close();
      done();
    } catch (refused) {
      say(refused.message);
    } finally {
      event.submitter.disabled = false;
    }
  };
  dialog.showModal();
}

/** A random UUID. `crypto.randomUUID` is only for pages over https. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
