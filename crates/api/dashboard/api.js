// Questions to the API, all under the token of this tab.

import { noteServerDate } from "./time.js";
import { token } from "./token.js";

const LIMIT_MS = 35_000;

const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
const TOO_MANY_REQUESTS = 429;

/** An answer that is no answer, with the API's sentence, and its status if there was one. */
export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }

  /** Whether the same question would be refused again. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== TOO_MANY_REQUESTS;
  }

  /** Whether it was for want of a token, or of what that allows. */
  get isDenied() {
    return this.status === UNAUTHORIZED || this.status === FORBIDDEN;
  }
}

let askForToken = () => false;

/** Whom to call with the API's sentence when a question needs another token: `asker` tells, maybe later, whether there is one now. */
export function whenTokenIsNeeded(asker) {
  askForToken = asker;
}

/** The JSON at `path`; `parameters` are pairs. */
export async function getJson(path, parameters, signal) {
  const query = new URLSearchParams(parameters).toString();
  return (await ask(query ? `${path}?${query}` : path, {}, signal)).json();
}

/** The text at `address`, which may have a query. */
export async function getText(address) {
  return (await ask(address, {})).text;
}

export async function postJson(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function remove(path) {
  await ask(path, { method: "DELETE" });
}

/** Whether the API lets in who has this secret: it throws what is refused. */
export async function tryToken(secret) {
  await askUnder(secret, "v1/status", {});
}

/** Asks, and asks again with another token as long as one is wanted and given. */
async function ask(url, options, signal) {
  for (;;) {
    const secret = token();
    try {
      return await askUnder(secret, url, options, signal);
    } catch (error) {
      if (error.status !== UNAUTHORIZED) throw error;
      // Another question's refusal may have brought one meanwhile.
      const isThere = token() !== secret || await askForToken(error.message);
      // Nobody waits for this one any more.
      signal?.throwIfAborted();
      if (!isThere) throw error;
    }
  }
}

async function askUnder(secret, url, options, signal) {
  const headers = secret === null ? options.headers : { ...options.headers, Authorization: `Bearer ${secret}` };
  let response;
  let text;
  try {
    response = await fetch(url, { ...options, headers, signal: limited(signal) });
    noteServerDate(response.headers.get("Date"));
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("The API does not answer: is it running, and reachable from here?");
  }
  const json = () => JSON.parse(text);
  if (response.ok) return { json, text };
  let sentence;
  try {
    sentence = json().error;
  } catch {
    sentence = null;
  }
  throw new Refused(sentence ?? `The API answered with ${response.status}.`, response.status);
}

/** A signal that comes with `signal`, or at the limit. */
function limited(signal) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), LIMIT_MS);
  if (signal?.aborted) controller.abort();
  signal?.addEventListener("abort", () => controller.abort(), { once: true });
  return controller.signal;
}

/** Whether `error` only says that nobody waits for the answer any more. */
export function isAbandoned(error) {
  return error.name === "AbortError";
}

/** Lets the newest of several questions win: beginning one ends the one before. */
export class Turn {
  #controller = new AbortController();

  next() {
    this.#controller.abort();
    this.#controller = new AbortController();
    return this.#controller.signal;
  }

  end() {
    this.#controller.abort();
  }
}
