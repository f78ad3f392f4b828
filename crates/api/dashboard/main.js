// The page: one state in the address, three views of it.

import { byId, showError, store, stored, tell } from "./dom.js";
import { allow, watchTokens } from "./admission.js";
import { Finder } from "./finder.js";
import { Graph } from "./graph.js";
import { blame, health, look, watch, whenHealthChanges } from "./health.js";
import { askForMark } from "./marks.js";
import { showPopular } from "./popular.js";
import { isName, Relation } from "./relation.js";
import { fromSearch, toSearch } from "./state.js";
import { Status } from "./status.js";
import { setZone, shownClock, shownDuration, nowS, zoneName } from "./time.js";
import { Tree } from "./tree.js";

let state = fromSearch(location.search);
let hasStart = false;

const views = { graph: new Graph(go), relation: new Relation(go), status: new Status() };
const add = (name) => go({ names: [...new Set([...state.names, name])] });
const finder = new Finder(document.querySelector("[data-finder=graph]"), { onPick: add });
const tree = new Tree(byId("tree"), add);

/** Shows another state, and lets the browser's Back return to this one. */
function go(patch) {
  const before = state;
  state = { ...state, ...patch };
  if (patch.until && patch.until !== "now") state.live = false;
  else if (patch.until === "now" && before.until !== "now" && patch.live === undefined) state.live = true;
  const to = toSearch(state) || location.pathname;
  if (to !== (location.search || location.pathname)) history.pushState(null, "", to);
  show();
}

function show() {
  setZone(state.zone);
  showError(null);
  for (const [name, view] of Object.entries(views)) {
    byId(name).hidden = name !== state.view;
    if (name !== state.view) view.hide();
  }
  for (const link of document.querySelectorAll("nav a")) {
    const isShown = link.dataset.view === state.view;
    link.setAttribute("aria-current", isShown ? "page" : "false");
    link.href = toSearch({ ...state, view: link.dataset.view }) || "./";
  }
  byId("zone").textContent = zoneName();
  byId("popular").hidden = !isStart();
  showStart();
  if (state.view === "graph") tree.open();
  document.title = title();
  views[state.view].show(state);
}

function isStart() {
  return state.view === "graph" && state.names.length === 0;
}

/** The first page, until there is something on it. */
async function showStart() {
  if (isStart()) hasStart = await showPopular(byId("popular"), add);
}

/** What is plotted, to be related to something. */
function related() {
  return { view: "relation", y: state.y || state.names.find(isName) || views.graph.firstName() || "" };
}

function title() {
  const what = { graph: state.names.join(", "), relation: [state.y, state.x].filter(Boolean).join(" over "), status: "status" }[state.view];
  return what ? `${what} · EventTracker` : "EventTracker";
}

/** The header's word on completeness: who holds it back, if anybody does. */
function showComplete() {
  const { status, failure, isDenied } = health();
  const node = byId("complete");
  const late = blame();
  node.classList.toggle("late", Boolean(failure) || late.length > 0);
  node.title = late.map(({ region, reason }) => `${region}: ${reason}`).join("\n");
  if (failure && !isDenied) node.textContent = "the API does not answer";
  else if (!status && !failure) node.textContent = "";
  else if (isDenied || status.complete_until === null) node.textContent = "completeness is not known";
  else {
    const clock = `complete until ${shownClock(status.complete_until)} ${zoneName()}`;
    const behind = shownDuration(Math.max(0, nowS() - status.complete_until));
    node.textContent = late.length > 0 ? `${clock}, ${behind} ago: ${late.map(({ region }) => region).join(", ")}` : clock;
  }
}

function nextTheme() {
  const order = ["auto", "light", "dark"];
  const now = stored("theme") ?? "auto";
  const next = order[(order.indexOf(now) + 1) % order.length];
  store("theme", next);
  dispatchEvent(new Event("themechosen"));
  showTheme();
}

function showTheme() {
  const theme = stored("theme") ?? "auto";
  byId("theme").textContent = { auto: "◐", light: "☀", dark: "☾" }[theme];
  byId("theme").setAttribute("aria-label", `Colours: ${theme}`);
}

function recolor() {
  views.graph.recolor();
  views.relation.recolor();
}

async function copyLink(button) {
  button.dataset.text ??= button.textContent;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it from the address bar";
  }
  tell(button.textContent);
  setTimeout(() => { button.textContent = button.dataset.text; }, 2_000);
}

const KEYS = {
  "/": () => { go({ view: "graph" }); finder.input.focus(); },
  g: () => go({ view: "graph" }),
  r: () => go(related()),
  s: () => go({ view: "status" }),
  l: () => go(state.live ? { live: false } : { until: "now", live: true }),
  "+": () => views.graph.zoomIn(),
  "-": () => views.graph.zoomOut(),
  "?": () => byId("help-dialog").showModal(),
};

function onKey(event) {
  const isTyping = event.target.closest("input, select, textarea, dialog, [role=tree]") !== null;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || stored("keys") === "off") return;
  if (event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight") && state.view === "graph" && state.names.length > 0) {
    event.preventDefault();
    views.graph.pan(event.key === "ArrowLeft" ? -1 : 1);
  } else if (KEYS[event.key] && (!"+-".includes(event.key) || (state.view === "graph" && state.names.length > 0))) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function onClick(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = event.target.closest("a[data-view], a[data-go]");
  if (link) {
    event.preventDefault();
    const view = link.dataset.view;
    if (!view) go(JSON.parse(link.dataset.go));
    else go(view === "relation" ? related() : { view });
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyLink(copy);
}

addEventListener("popstate", () => { state = fromSearch(location.search); show(); });
addEventListener("keydown", onKey);
addEventListener("click", onClick);
addEventListener("themechange", recolor);
byId("theme").onclick = nextTheme;
byId("zone").onclick = () => { go({ zone: state.zone === "utc" ? "local" : "utc" }); recolor(); showComplete(); };
byId("relate").onclick = () => go({ ...related(), y: state.names.find(isName) ?? views.graph.firstName() ?? "" });
byId("help").onclick = () => byId("help-dialog").showModal();
byId("mark").onclick = () => askForMark(() => views.graph.reload());
byId("keys").checked = stored("keys") !== "off";
byId("keys").onchange = (event) => store("keys", event.target.checked ? "on" : "off");
if (matchMedia("(max-width: 800px)").matches) byId("browse").open = false;
watchTokens(() => { show(); look(); });
whenHealthChanges(showComplete);
whenHealthChanges(() => allow(byId("mark"), "write"));
whenHealthChanges(() => {
  if (state.view === "graph") tree.open();
  if (!hasStart) showStart();
});
byId("browse").addEventListener("toggle", () => { if (byId("browse").open) tree.refill(); });
showTheme();
show();
watch();
