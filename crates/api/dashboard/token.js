// The token under which everything is asked. The tab keeps it, and nothing else does: what is in an address is passed on with it, and what
// the browser keeps for all tabs outlives whoever sat before it.

const KEY = "token";

/** What is kept where the browser keeps nothing: it is gone with the page. */
let inMemory = null;

/** The token's secret; null without one. */
export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? inMemory;
  } catch {
    return inMemory;
  }
}

export function keepToken(secret) {
  inMemory = null;
  try {
    sessionStorage.setItem(KEY, secret);
  } catch {
    inMemory = secret;
  }
}

export function forgetToken() {
  inMemory = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
}
