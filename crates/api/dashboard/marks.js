// Adding a mark, such as a deployment, to every graph.

import { byId } from "./dom.js";
import { postJson } from "./api.js";
import { resolve } from "./time.js";

const UNAUTHORIZED = 401;

/** Opens the dialog; `done` is called when the mark is stored. */
export function askForMark(done) {
  const dialog = byId("mark-dialog");
  const form = dialog.querySelector("form");
  const error = dialog.querySelector(".error");
  const say = (sentence) => { error.textContent = sentence; error.hidden = !sentence; };
  say("");
  form.reset();
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    const when = resolve(form.when.value.trim());
    if (!Number.isFinite(when)) return say("When is not a time: use now, -10m, or a time such as 2026-11-24T10:00:00Z.");
    try {
      await postJson("v1/annotations", {
        what: form.what.value.trim(), data: form.data.value.trim(), when,
        tags: form.tags.value.split(/[\s,]+/).filter(Boolean),
      }, form.token.value);
      dialog.close();
      done();
    } catch (refused) {
      say(refused.message);
      // Asked for only where the API asks for it.
      if (refused.status === UNAUTHORIZED) form.token.parentElement.hidden = false;
    }
  };
  dialog.showModal();
}
