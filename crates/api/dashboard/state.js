// What the page shows, as its address has it: a link is a view.

const DEFAULTS = {
  view: "graph",
  names: [],
  from: "-6h",
  until: "now",
  step: "auto",
  mode: "lines",
  compare: [],
  live: true,
  zone: "utc",
  x: "",
  y: "",
};

const CHOICES = {
  view: ["graph", "relation", "status"],
  mode: ["lines", "stack", "sum"],
  zone: ["utc", "local"],
};

/** The state that `search`, an address's query, stands for; what it does not know is left at its default. */
export function fromSearch(search) {
  const parameters = new URLSearchParams(search);
  const state = { ...DEFAULTS, names: [...new Set(parameters.getAll("name"))].filter(Boolean) };
  for (const key of ["view", "from", "until", "step", "mode", "zone", "x", "y"]) {
    const value = parameters.get(key);
    if (value && (CHOICES[key]?.includes(value) ?? true)) state[key] = value;
  }
  state.compare = (parameters.get("compare") ?? "").split(",").filter(Boolean);
  // What ends in the past does not change.
  state.live = parameters.get("live") !== "0" && state.until === "now";
  return state;
}

export function toSearch(state) {
  const parameters = new URLSearchParams();
  for (const name of state.names) parameters.append("name", name);
  for (const key of ["view", "from", "until", "step", "mode", "zone", "x", "y"]) {
    if (state[key] !== DEFAULTS[key]) parameters.set(key, state[key]);
  }
  if (state.compare.length > 0) parameters.set("compare", state.compare.join(","));
  if (!state.live && state.until === "now") parameters.set("live", "0");
  // The characters of names and times stay readable.
  const text = parameters.toString().replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text ? `?${text}` : "";
}
