// Questions to the API.

const LIMIT_MS = 35_000;

/** An answer that is no answer, with the API's sentence. */
export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/** The JSON at `path`; `parameters` are pairs. */
export async function getJson(path, parameters, signal) {
  const query = new URLSearchParams(parameters).toString();
  return askJson(query ? `${path}?${query}` : path, {}, signal);
}

/** Sends `body`, under a token where there is one. */
export async function postJson(path, body, token) {
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  return askJson(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization },
    body: JSON.stringify(body),
  });
}

async function askJson(url, options, signal) {
  const limit = AbortSignal.timeout(LIMIT_MS);
  let response;
  try {
    response = await fetch(url, { ...options, signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("The API does not answer: is it running, and reachable from here?");
  }
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => ({}));
  throw new Refused(answer.error ?? `The API answered with ${response.status}.`, response.status);
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
