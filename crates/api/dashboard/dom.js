// Making and filling elements.

import { csvCell } from "./csv.js";

/** A file that was made in the page is in the browser's hands by then. */
const SAVED_MS = 10_000;

/** An element with attributes, listeners (`onclick`), and children: elements or texts. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A line's color, broken where the line is. The page's policy allows no style in markup. */
export function swatch({ color, dash }) {
  const node = el("span", { class: dash ? "swatch dashed" : "swatch", "aria-hidden": "true" });
  node.style.setProperty("--color", color);
  return node;
}

/**
 * Fills a table; a cell is a text or an element. Under the same `key` only texts change: somebody may be reading it,
 * or be about to press something in it.
 */
export function showTable(table, key, head, rows) {
  const old = table.tBodies[0]?.rows;
  if (table.dataset.key === key && old?.length === rows.length) {
    rows.forEach((cells, at) => cells.forEach((content, cell) => {
      if (typeof content === "string" && old[at].cells[cell].textContent !== content) old[at].cells[cell].textContent = content;
    }));
    return;
  }
  table.dataset.key = key;
  const cell = (tag, attributes) => (content) => el(tag, attributes, content);
  const body = rows.map(([first, ...rest]) =>
    el("tr", {}, cell("th", { scope: "row" })(first), ...rest.map(cell("td"))));
  table.tHead?.remove();
  for (const former of [...table.tBodies]) former.remove();
  table.append(
    el("thead", {}, el("tr", {}, ...head.map(cell("th", { scope: "col" })))),
    el("tbody", {}, ...body),
  );
}

/** Says what is wrong, once; nothing takes it back. */
export function showError(sentence) {
  const node = byId("error");
  if (node.textContent === (sentence ?? "")) return;
  node.textContent = sentence ?? "";
  node.hidden = !sentence;
}

/** Tells those who do not see the page. */
export function tell(sentence) {
  byId("news").textContent = sentence;
}

/** A link's target: a file with these lines, made in the page. */
export function csvUrl(head, rows) {
  const text = [head, ...rows].map((row) => row.map(csvCell).join(",") + "\n").join("");
  return URL.createObjectURL(new Blob([text], { type: "text/csv" }));
}

/** Sets a link to a file made in the page, and forgets the one before. */
export function setFile(link, url, name) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = url;
  link.download = name;
}

/** Lets the browser save a file made in the page, without a link that leads to it. */
export function saveFile(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  el("a", { href: url, download: name }).click();
  // The browser reads it after the click is over.
  setTimeout(() => URL.revokeObjectURL(url), SAVED_MS);
}

/** What this browser keeps for this page; nothing where it keeps nothing. */
export function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The choice holds as long as the page is open.
  }
}
