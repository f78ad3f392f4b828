// A playground with demo traffic and a browser, for all tests of one file.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
// Held at the last one that Debian 12's Node.js 18 can run (package.json).
import { chromium } from "playwright-core";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAM = process.env.EVENTTRACKER ?? path.join(ROOT, "target/debug/eventtracker");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Kept after the tests, to be looked at. */
const SCREENSHOTS = path.join(ROOT, "target/screenshots");

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Servers start and events arrive within it, also on a busy machine. */
const LIMIT_MS = 60_000;

const POLL_MS = 50;

const PORT_TRIES_MAX = 100;

/** Waits until `look` gives something true, and returns it; else fails with the last thing seen. */
export async function until(what, look) {
  const end = Date.now() + LIMIT_MS;
  let seen;
  while (Date.now() < end) {
    seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  assert.fail(`${what}: not within ${LIMIT_MS / 1000} s; last seen: ${JSON.stringify(seen)}`);
}

/** Waits until the page is no wider than its window: where that has changed, graphs follow a moment later. */
export const fits = (page) =>
  until("as wide as the window", () => page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));

class Rig {
  pages = new Set();

  /** With `options` of the playground beside the usual ones. */
  async start(...options) {
    this.directory = await mkdtemp(path.join(tmpdir(), "eventtracker-browser-"));
    this.port = await freePort();
    const usual = ["--regions", "eu,us", "--demo", "--port", this.port, "--data-dir", this.directory];
    this.playground = spawn(PROGRAM, ["playground", ...usual, ...options],
      { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: this.playground.stdout });
    await new Promise((resolve, reject) => {
      lines.on("line", (line) => line.includes("EventTracker is ready") && resolve());
      this.playground.on("exit", (code) => reject(new Error(`the playground ended with ${code} before it was ready`)));
      this.playground.on("error", reject);
      setTimeout(() => reject(new Error(`the playground is not ready after ${LIMIT_MS / 1000} s`)), LIMIT_MS).unref();
    });
    /** Secrets by what they allow; none without `--tokens`. */
    this.tokens = (await this.description()).tokens ?? {};
    await mkdir(SCREENSHOTS, { recursive: true });
    for (const old of await readdir(SCREENSHOTS)) {
      if (old.startsWith("failed-")) await rm(path.join(SCREENSHOTS, old));
    }
    this.browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        // A name that a stranger lets resolve to this machine.
        "--host-resolver-rules=MAP evil.example 127.0.0.1",
        // The browser's own sandbox needs what root may not do.
        ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
      ],
    });
  }

  async stop() {
    await this.browser?.close();
    if (this.playground && this.playground.exitCode === null) {
      const ended = new Promise((resolve) => this.playground.on("exit", resolve));
      this.playground.kill("SIGINT");
      await ended;
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  get api() {
    return `http://127.0.0.1:${this.port}`;
  }

  async description() {
    return JSON.parse(await readFile(path.join(this.directory, "playground.json"), "utf8"));
  }

  /** The header that lets in where there are tokens. */
  authorization(scope) {
    const secret = this.tokens[scope];
    return secret ? { Authorization: `Bearer ${secret}` } : {};
  }

  async json(target) {
    const response = await fetch(this.api + target, { headers: this.authorization("read") });
    assert.equal(response.status, 200, target);
    return response.json();
  }

  /** Counts `events` in region eu, and waits until all of `names` are complete at the centre. */
  async count(events) {
    const { regions } = await this.description();
    for (let at = 0; at < events.length; at += 5_000) {
      const response = await fetch(`${regions.eu.collector}/v1/events`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...this.authorization("write") },
        body: JSON.stringify(events.slice(at, at + 5_000)),
      });
      assert.equal(response.status, 202, await response.text());
    }
    const sent = Date.now() / 1000;
    await until("what was sent is complete", async () => (await this.json("/v1/status")).complete_until > sent);
    for (const name of new Set(events.map((event) => event.name))) {
      const query = encodeURIComponent(name);
      await until(`${name} is found`, async () =>
        (await this.json(`/v1/names?query=${query}`)).names.length > 0 && (await this.json(`/metrics/find?query=${query}`)).length > 0);
    }
  }

  /** A new page; whatever it complains about fails the test that ends with `done`. */
  async page(target, options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    page.complaints = [];
    this.pages.add(page);
    page.on("pageerror", (error) => page.complaints.push(error.stack));
    page.on("console", (message) => {
      if (message.type() === "error") page.complaints.push(`${message.text()} ${message.location().url}`);
    });
    await page.goto(this.api + target);
    return page;
  }

  async screenshot(page, name) {
    await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) });
  }
}

export const rig = new Rig();

/** A test with pages of the rig; where it fails, they are shown as they were. */
export function browserTest(name, body) {
  test(name, async () => {
    try {
      await body();
    } catch (error) {
      for (const page of rig.pages) await tellOf(page, name);
      throw error;
    } finally {
      for (const page of rig.pages) await page.context().close();
      rig.pages.clear();
    }
  });
}

async function tellOf(page, name) {
  const error = await page.locator("#error").textContent({ timeout: 1_000 }).catch((failure) => failure.message);
  await rig.screenshot(page, `failed ${name}`.replaceAll(/[^\w]+/g, "-").slice(0, 80));
  console.error(`at the end of "${name}": ${page.url()}\nerror shown: ${error}\ncomplaints: ${JSON.stringify(page.complaints)}`);
}

/** Ends a page; nothing may have gone wrong in it but what `expected` says, such as refused requests. */
export async function done(page, expected = /^$/) {
  const complaints = page.complaints.filter((complaint) => !expected.test(complaint));
  assert.deepEqual(complaints, []);
  rig.pages.delete(page);
  await page.context().close();
}

/** Nothing in the page is known to keep anybody from reading or using it. */
export async function isAccessible(page) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(violations.flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${id}: ${help}: ${html}`)), []);
  assert.ok(passes.length > 15, `${passes.length} rules looked at something`);
}

/** What `address` of the page says now. */
export function address(page) {
  return new URL(page.url()).searchParams;
}

/** The cells of the row of the table of lines that begins with `label`. */
export async function row(page, label) {
  const rows = await page.locator("#lines tbody tr").evaluateAll((found) =>
    found.map(({ cells }) => [...cells].map((cell) => cell.textContent.trim())));
  return rows.find(([first]) => first === label);
}

async function freePort() {
  for (let tries = 0; tries < PORT_TRIES_MAX; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const wanted = Array.from({ length: 30 }, (_, at) => port + at);
    if ((await Promise.all(wanted.map(isFree))).every(Boolean)) return port;
  }
  throw new Error("found no free ports");
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
