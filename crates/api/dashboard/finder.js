// A field that finds names as they are typed: the most counted first.

import { el, tell } from "./dom.js";
import { getJson, isAbandoned, Turn } from "./api.js";
import { shownCompact } from "./time.js";

/** Between two keys of a fast typist nothing is asked. */
const PAUSE_MS = 80;

const SHOWN_MAX = 50;

export class Finder {
  /**
   * `onPick(text)` gets what was chosen in the list, or typed as it is.
   * With `ratios`, what stands behind a `/` is completed by itself.
   */
  constructor(root, { onPick, ratios = false, keep = false }) {
    this.input = root.querySelector("input");
    this.onPick = onPick;
    this.ratios = ratios;
    this.keep = keep;
    this.turn = new Turn();
    this.active = -1;
    const id = `${this.input.id}-names`;
    this.list = el("ul", { id, role: "listbox", class: "found", hidden: true, "aria-label": "Names found" });
    // The field keeps the focus: losing it closes the list.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    root.append(this.list);
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-expanded": "false", "aria-controls": id, "aria-autocomplete": "list",
    })) this.input.setAttribute(name, value);
    this.input.addEventListener("input", () => this.#ask());
    this.input.addEventListener("focus", () => this.#ask());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.#key(event));
  }

  set value(text) {
    if (document.activeElement !== this.input) this.input.value = text;
  }

  close() {
    clearTimeout(this.timer);
    this.turn.end();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.active = -1;
  }

  #ask() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#search(), PAUSE_MS);
  }

  async #search() {
    const text = this.input.value.trim();
    const signal = this.turn.next();
    try {
      let head = "";
      let names = await search(text, signal);
      const slash = text.lastIndexOf("/");
      if (this.ratios && names.length === 0 && slash > 0) {
        head = text.slice(0, slash + 1);
        names = await search(text.slice(slash + 1), signal);
      }
      this.#show(head, names, text.slice(head.length));
    } catch (error) {
      if (!isAbandoned(error)) this.#note(error.message);
    }
  }

  #show(head, names, part) {
    const option = ({ name, popularity }, at) =>
      el("li", {
        role: "option", id: `${this.list.id}-${at}`, "data-value": head + name, "aria-selected": "false",
        onclick: () => this.#pick(head + name),
      }, el("span", { class: "name" }, ...marked(head + name, part)),
      el("span", { class: "count", "aria-label": `${popularity} counted` }, shownCompact(popularity)));
    if (names.length === 0) {
      this.#note("No name has this in it. Names are listed a moment after their first event.");
      return;
    }
    this.list.replaceChildren(...names.map(option));
    this.active = -1;
    this.#open();
    tell(`${names.length === SHOWN_MAX ? "More than " : ""}${names.length} names found`);
  }

  #note(sentence) {
    this.list.replaceChildren(el("li", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "note" }, sentence));
    this.active = -1;
    this.#open();
  }

  #open() {
    // The answer to the last key may come after the field was left.
    if (document.activeElement !== this.input) return;
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  #key(event) {
    const options = [...this.list.querySelectorAll("[data-value]")];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) return this.#ask();
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.#activate(options, Math.min(options.length - 1, Math.max(-1, this.active + by)));
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = options[this.active]?.dataset.value ?? this.input.value.trim();
      if (text) this.#pick(text);
    } else if (event.key === "Escape") {
      this.close();
    }
  }

  #activate(options, at) {
    options[this.active]?.setAttribute("aria-selected", "false");
    this.active = at;
    const option = options[at];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #pick(text) {
    this.close();
    this.input.value = this.keep ? text : "";
    this.onPick(text);
  }
}

async function search(text, signal) {
  const answer = await getJson("v1/names", [["query", text], ["limit", SHOWN_MAX]], signal);
  return answer.names;
}

/** `name` with the part that was typed marked. */
function marked(name, part) {
  const at = part ? name.indexOf(part) : -1;
  if (at < 0) return [name];
  return [name.slice(0, at), el("mark", {}, part), name.slice(at + part.length)];
}
