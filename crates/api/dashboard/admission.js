// Who may see and do what: asks for a token where the API wants one, and says whose view the page is.

import { byId } from "./dom.js";
import { tryToken, whenTokenIsNeeded } from "./api.js";
import { health, whenHealthChanges } from "./health.js";
import { nowS, shownDuration, shownTime, zoneName } from "./time.js";
import { forgetToken, keepToken, token } from "./token.js";

/** From then on the head says when the token expires: somebody has to ask for a new one. */
const EXPIRES_SOON_S = 14 * 86_400;

/** Beginnings of names in the head; its tooltip has all. */
const PREFIXES_SHOWN_MAX = 2;

/** The dialog's outcome while it is open: all who wait for a token wait for this one. */
let asking = null;

/** Whoever gave no token is not asked again and again: a button in the head asks. */
let isDeclined = false;

/** Begins to ask for tokens; `changed` is called when one was given after the page had gone on without. */
export function watchTokens(changed) {
  whenTokenIsNeeded((sentence) => (isDeclined ? false : askForToken(sentence)));
  whenHealthChanges(() => {
    const { status, failure } = health();
    // It is answered as it is.
    if (status && !failure) isDeclined = false;
    showViewer();
  });
  byId("sign-in").onclick = async () => { if (await askForToken()) changed(); };
  byId("sign-out").onclick = () => {
    forgetToken();
    // What was seen under it goes, too.
    location.reload();
  };
}

/** Whether a token was given that the API knows; `sentence` is the API's, else the one before is shown again. */
function askForToken(sentence) {
  asking ??= openDialog(sentence).then((isGiven) => {
    asking = null;
    isDeclined = !isGiven;
    // One that is refused would only be refused again.
    if (!isGiven) forgetToken();
    showViewer();
    return isGiven;
  });
  return asking;
}

function openDialog(sentence) {
  const dialog = byId("token-dialog");
  const form = dialog.querySelector("form");
  const field = byId("token");
  const error = dialog.querySelector(".error");
  const say = (words) => { error.textContent = words; error.hidden = !words; };
  if (sentence) byId("token-reason").textContent = sentence;
  say("");
  form.reset();
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  return new Promise((resolve) => {
    let isGiven = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const secret = field.value.trim();
      // A browser sends no header with other characters, and would say no more than that it failed.
      if (!/^[!-~]+$/.test(secret)) return say("This is no token: it has a character that none has, such as a space.");
      event.submitter.disabled = true;
      try {
        await tryToken(secret);
        // Cancelled meanwhile.
        if (!dialog.open) return undefined;
        keepToken(secret);
        isGiven = true;
        dialog.close();
      } catch (refused) {
        say(refused.message);
        field.focus();
        field.select();
      } finally {
        event.submitter.disabled = false;
      }
      return undefined;
    };
    dialog.addEventListener("close", () => {
      // No secret stays in the page.
      form.reset();
      resolve(isGiven);
    }, { once: true });
    dialog.showModal();
  });
}

/** The token as the API describes it; null where it wants none, or lets nobody in with this one. */
function viewer() {
  const { status, isDenied } = health();
  return isDenied ? null : status?.token ?? null;
}

/** Why the token does not allow what needs `scope`; null where it does, and where no token is needed. */
export function denial(scope) {
  const shown = viewer();
  return !shown || shown.scopes.includes(scope) ? null : `The token '${shown.name}' has not the scope ${scope} that this needs.`;
}

/** Lets `button` be pressed where the token allows it; elsewhere it says why not. */
export function allow(button, scope) {
  const sentence = denial(scope);
  button.disabled = sentence !== null;
  button.title = sentence ?? "";
}

function showViewer() {
  const shown = viewer();
  const leftS = (shown?.expires ?? Infinity) - nowS();
  const isSoon = leftS < EXPIRES_SOON_S;
  byId("sign-in").hidden = !isDeclined;
  // A token that a proxy adds is not the page's to forget.
  byId("sign-out").hidden = token() === null;
  byId("viewer").hidden = !shown && !isDeclined && token() === null;
  const node = byId("viewer").querySelector("span");
  node.classList.toggle("late", isSoon);
  const soon = isSoon ? `, expires in ${shownDuration(Math.max(0, leftS))}` : "";
  node.textContent = shown ? `view of ${shown.name}: ${shownNames(shown)}${soon}` : "";
  node.title = shown ? details(shown) : "";
}

function shownNames({ prefixes }) {
  if (!prefixes) return "all names";
  const more = prefixes.length - PREFIXES_SHOWN_MAX;
  const shown = prefixes.slice(0, PREFIXES_SHOWN_MAX).map((prefix) => `${prefix}*`).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function details({ prefixes, scopes, expires }) {
  return [
    prefixes ? `Names that begin with ${prefixes.join(", ")}` : "All names",
    `Scopes: ${scopes.join(", ")}`,
    typeof expires === "number" ? `Expires ${shownTime(expires)} ${zoneName()}` : "Does not expire",
  ].join("\n");
}
