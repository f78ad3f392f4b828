// A cell of a file made in the page.

/**
 * A value as a cell. A text that a spreadsheet would take for a formula gets a single quote before it: the rule's home is
 * `crates/model/src/csv.rs`, and both are tested with `tests/data/csv_cells.json`.
 */
export function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\n\r;\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
