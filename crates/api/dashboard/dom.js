// Making and filling elements.

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

/** A table's head and body; a cell is a text, a number's text, or an element. */
export function fillTable(table, head, rows) {
  const cell = (tag, attributes) => (content) => el(tag, attributes, content);
  const body = rows.map(([first, ...rest]) =>
    el("tr", {}, cell("th", { scope: "row" })(first), ...rest.map(cell("td"))));
  table.tHead?.remove();
  for (const old of [...table.tBodies]) old.remove();
  table.append(
    el("thead", {}, el("tr", {}, ...head.map(cell("th", { scope: "col" })))),
    el("tbody", {}, ...body),
  );
}

export function showError(sentence) {
  const node = byId("error");
  node.textContent = sentence ?? "";
  node.hidden = !sentence;
}

/** Tells those who do not see the page. */
export function tell(sentence) {
  byId("news").textContent = sentence;
}

/** A link's target: a file with these lines, made in the page. */
export function csvUrl(head, rows) {
  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = [head, ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
  return URL.createObjectURL(new Blob([text], { type: "text/csv" }));
}

/** Sets a link to a file made in the page, and forgets the one before. */
export function setFile(link, url, name) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = url;
  link.download = name;
}
