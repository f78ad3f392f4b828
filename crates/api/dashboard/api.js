// Questions to the API.

import { noteServerDate } from "./time.js";

const LIMIT_MS = 35_000;

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
}

/** The JSON at `path`; `parameters` are pairs. */
export async function getJson(path, parameters, signal) {
  const query = new URLSearchParams(parameters).toString();
  return (await ask(query ? `${path}?${query}` : path, {}, signal)).json();
}

/** Sends `body`, under a token where there is one. */
export async function postJson(path, body, token) {
  const headers = { "Content-Type": "application/json", ...authorization(token) };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function remove(path, token) {
  await ask(path, { method: "DELETE", headers: authorization(token) });
}

function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function ask(url, options, signal) {
  let response;
  let text;
  try {
    response = await fetch(url, { ...options, signal: limited(signal) });
    noteServerDate(response.headers.get("Date"));
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("The API does not answer: is it running, and reachable from here?");
  }
  const json = () => JSON.parse(text);
  if (response.ok) return { json };
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
