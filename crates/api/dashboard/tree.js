// All names as a tree, a level at a time.

import { el } from "./dom.js";
import { getJson } from "./api.js";
import { shownCompact } from "./time.js";

/** More in one level are found by typing. */
const SHOWN_MAX = 300;

export class Tree {
  /** `onPick(name)` gets the name of the leaf that was chosen. */
  constructor(root, onPick) {
    this.root = root;
    this.onPick = onPick;
    root.addEventListener("click", (event) => this.#click(event));
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Fills the first level, until there is something in it. */
  async open() {
    if (this.opened) return;
    this.opened = true;
    this.opened = await this.#fill(this.root, "*", 1);
    this.root.querySelector("[role=treeitem]")?.setAttribute("tabindex", "0");
  }

  /** Asks for the first level again: there may be new names. */
  refill() {
    if (this.root.querySelector("[aria-expanded=true]")) return;
    this.opened = false;
    this.open();
  }

  /** Whether there was something to show. */
  async #fill(list, query, level) {
    try {
      const nodes = await getJson("metrics/find", [["query", query]]);
      list.replaceChildren(...merged(nodes).slice(0, SHOWN_MAX).map((node) => item(node, level)));
      const rest = merged(nodes).length - SHOWN_MAX;
      if (rest > 0) list.append(note(`${rest} more: type to find them`));
      if (nodes.length === 0) list.append(note("No name was counted yet."));
      return nodes.length > 0;
    } catch (error) {
      const isTooMany = error.isFinal && !error.isDenied;
      list.replaceChildren(note(isTooMany ? "Too many names for a list: type to find them" : error.message));
      return isTooMany === true;
    }
  }

  async #toggle(node) {
    if (!node.hasAttribute("aria-expanded")) return;
    const open = node.getAttribute("aria-expanded") !== "true";
    node.setAttribute("aria-expanded", String(open));
    let list = listOf(node);
    if (open && !list) {
      list = el("ul", { role: "group", id: `below.${node.dataset.id}` });
      node.after(list);
      // Its children lie beside the node, for the node's own text to be its name.
      node.setAttribute("aria-owns", list.id);
      // What failed is asked for again when the branch is opened again.
      if (!(await this.#fill(list, `${node.dataset.id}.*`, Number(node.getAttribute("aria-level")) + 1))) list.dataset.failed = "1";
    }
    if (list?.dataset.failed && !open) {
      list.remove();
      node.removeAttribute("aria-owns");
    }
    else if (list) list.hidden = !open;
  }

  #click(event) {
    const node = event.target.closest("[role=treeitem]");
    if (!node) return;
    this.#focus(node);
    if (event.target.closest(".pick")) this.onPick(node.dataset.id);
    else if (node.hasAttribute("aria-expanded")) this.#toggle(node);
  }

  #key(event) {
    const node = event.target.closest("[role=treeitem]");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const open = node.getAttribute("aria-expanded");
    const items = this.#items();
    const at = items.indexOf(node);
    const actions = {
      ArrowDown: () => this.#focus(items[at + 1]),
      ArrowUp: () => this.#focus(items[at - 1]),
      Home: () => this.#focus(items[0]),
      End: () => this.#focus(items.at(-1)),
      ArrowRight: () => (open === "false" ? this.#toggle(node) : this.#focus(listOf(node)?.querySelector("[role=treeitem]"))),
      ArrowLeft: () => (open === "true" ? this.#toggle(node) : this.#focus(parentOf(node))),
      Enter: () => (node.dataset.leaf ? this.onPick(node.dataset.id) : this.#toggle(node)),
      " ": () => (node.dataset.leaf ? this.onPick(node.dataset.id) : this.#toggle(node)),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  }

  #items() {
    return [...this.root.querySelectorAll("[role=treeitem]")].filter((node) => node.offsetParent !== null);
  }

  #focus(node) {
    if (!node) return;
    for (const other of this.root.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    node.setAttribute("tabindex", "0");
    node.focus();
  }
}

/** A name that is also a branch comes as two nodes; the most counted first where the API says how much. */
function merged(nodes) {
  const byId = new Map();
  for (const node of nodes) {
    const known = byId.get(node.id) ?? { id: node.id, text: node.text, leaf: false, expandable: false, popularity: 0 };
    known.leaf ||= node.leaf === 1;
    known.expandable ||= node.expandable === 1;
    known.popularity = Math.max(known.popularity, node.popularity ?? 0);
    byId.set(node.id, known);
  }
  return [...byId.values()].sort((a, b) => b.popularity - a.popularity || (a.text < b.text ? -1 : 1));
}

function item({ id, text, leaf, expandable, popularity }, level) {
  const label = leaf ? el("span", { class: "pick", title: `Plot ${id}` }, text) : el("span", {}, text);
  const count = popularity > 0 ? el("span", { class: "count" }, shownCompact(popularity)) : null;
  const attributes = {
    class: "node", role: "treeitem", tabindex: "-1", "aria-level": level, "data-id": id, "data-leaf": leaf ? "1" : null,
    "aria-expanded": expandable ? "false" : null,
  };
  return el("li", { role: "none" }, el("div", attributes, el("span", { class: "twist", "aria-hidden": "true" }), label, count));
}

function note(sentence) {
  return el("li", { role: "none" }, el("div", { class: "note", role: "treeitem", tabindex: "-1", "aria-disabled": "true" }, sentence));
}

/** The list of what lies below a node, once it was opened. */
function listOf(node) {
  return node.parentElement.querySelector(":scope > ul");
}

function parentOf(node) {
  return node.closest("ul[role=group]")?.parentElement.querySelector("[role=treeitem]");
}
