// The state of the regions, asked for once for all who show it.

import { getJson } from "./api.js";

const PAUSE_MS = 5_000;

const listeners = new Set();

let status = null;
let failure = null;
let isDenied = false;

/** The last status that came, and why the last question for it failed, if it did: `isDenied` where it was for want of a token. */
export function health() {
  return { status, failure, isDenied };
}

/** Regions that hold the clock back, with the reason. */
export function blame() {
  const late = (status?.regions ?? []).filter((region) => region.held_back);
  return late.map(({ region, held_back: reason }) => ({ region, reason }));
}

export function whenHealthChanges(listener) {
  listeners.add(listener);
}

export async function watch() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Asks now. */
export async function look() {
  try {
    status = await getJson("v1/status");
    failure = null;
    isDenied = false;
  } catch (error) {
    failure = error.message;
    isDenied = error.isDenied === true;
  }
  for (const listener of listeners) {
    try {
      listener();
    } catch (error) {
      // The others are told all the same, and all again next time.
      console.error(error);
    }
  }
}
