// What there is to see before anything was chosen: the names that are counted most.

import { el, showError } from "./dom.js";
import { getJson } from "./api.js";
import { shownCompact, shownNumber } from "./time.js";

const NAMES_MAX = 12;

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 160;
const HEIGHT = 36;

/** Fills `root` with a card for each of the most counted names; false where there was none, or no answer. */
export async function showPopular(root, onPick) {
  try {
    const { names } = await getJson("v1/names", [["limit", NAMES_MAX]]);
    if (names.length === 0) {
      root.replaceChildren(el("h1", {}, "Nothing was counted yet"),
        el("p", {}, "Send an event to a collector: ", el("code", {}, "POST /v1/events {\"name\":\"shop.item.sold\"}")));
      return false;
    }
    const { series, complete_until: until } = await getJson("v1/series", [...names.map(({ name }) => ["name", name]), ["from", "-1h"], ["until", "now"]]);
    const byName = new Map(series.map((one) => [one.name, one]));
    const card = ({ name, popularity }) => {
      const one = byName.get(name);
      return el("li", {}, el("button", { type: "button", onclick: () => onPick(name) },
        el("b", {}, name), spark(one?.points ?? [], until),
        el("small", {}, `${shownNumber(one?.total ?? 0)} in the last hour · ${shownCompact(popularity)} in all`)));
    };
    root.replaceChildren(el("h1", {}, "Counted most"), el("ul", { class: "cards" }, ...names.map(card)));
    showError(null);
    return true;
  } catch (error) {
    if (!root.hidden) showError(error.message);
    return false;
  }
}

/** The last hour as a line; minutes that are not complete yet are left out. */
function spark(points, until) {
  const known = points.filter(([at, value]) => value !== null && until !== null && at + 60 <= until);
  const most = Math.max(1, ...known.map(([, value]) => value));
  const place = ([, value], at) =>
    `${((at / Math.max(1, points.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 4)).toFixed(1)}`;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "polyline");
  path.setAttribute("points", known.map(place).join(" "));
  svg.append(path);
  return svg;
}
