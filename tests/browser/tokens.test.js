// The page where counts are for those who have a token.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import { browserTest, done, fits, isAccessible, rig, row, until } from "./rig.js";

const MINUTE_S = 60;
const DAY_S = 86_400;

/** As long as a secret, and none. */
const WRONG = `et_${"x".repeat(43)}`;

/** What a browser says of what is refused on purpose. */
const REFUSED = /status of 401/;

const GRAPH = "/?name=test.page.view&from=-6h";

before(async () => {
  await rig.start("--tokens");
  const timestamp = Math.floor(Date.now() / 1000 / MINUTE_S) * MINUTE_S - 3_600;
  await rig.count([{ name: "test.page.view", count: 465, timestamp }]);
});
after(() => rig.stop());

const dialog = (page) => page.locator("#token-dialog");
const viewer = (page) => page.locator("#viewer span");

async function asks(page) {
  await dialog(page).waitFor();
  assert.match(await page.locator("#token-reason").textContent(), /a token is needed/);
}

async function give(page, secret) {
  await page.locator("#token").fill(secret);
  await page.locator("#token").press("Enter");
}

async function drawn(page) {
  await page.locator("#chart canvas").waitFor();
  await until("the total", async () => (await row(page, "test.page.view"))?.[1] === "465");
}

/** A page that was given the token to read. */
async function signedIn(target, options) {
  const page = await rig.page(target, options);
  await asks(page);
  await give(page, rig.tokens.read);
  await dialog(page).waitFor({ state: "hidden" });
  return page;
}

/** Lets the API's answer about the token have `change` in it. */
async function describe(page, change) {
  await page.route("**/v1/status", async (route) => {
    const response = await route.fetch();
    const status = await response.json();
    await route.fulfill({ response, json: { ...status, token: { ...status.token, ...change } } });
  });
}

browserTest("the page asks for a token once, refuses a wrong one in the API's words, and says whose view it is", async () => {
  const page = await rig.page(GRAPH);
  await asks(page);
  await isAccessible(page);
  await rig.screenshot(page, "token-asked");
  assert.equal(await page.locator("#chart canvas").count(), 0);
  assert.equal(await page.locator("#viewer").isVisible(), false);
  await give(page, WRONG);
  await page.locator("#token-dialog .error", { hasText: "no token with this secret is known here" }).waitFor();
  await rig.screenshot(page, "token-refused");
  await give(page, "two words");
  await page.locator("#token-dialog .error", { hasText: "This is no token" }).waitFor();
  await give(page, rig.tokens.read);
  await dialog(page).waitFor({ state: "hidden" });
  await drawn(page);
  const { token } = await rig.json("/v1/status");
  const names = token.prefixes === null ? "all names" : token.prefixes.map((prefix) => `${prefix}*`).join(", ");
  await until("whose view it is", async () => (await viewer(page).textContent()).startsWith(`view of ${token.name}: ${names}`));
  await page.locator("#complete", { hasText: "complete until" }).waitFor();
  await page.locator("#tree [role=treeitem][data-id]").first().waitFor();
  assert.equal(await page.locator("#token").inputValue(), "", "the secret is not left in the page");
  await isAccessible(page);
  await rig.screenshot(page, "token-given");
  await done(page, REFUSED);
});

browserTest("the tab keeps the token, and nothing else does", async () => {
  const page = await signedIn(GRAPH);
  await drawn(page);
  const { read } = rig.tokens;
  const asked = [];
  page.on("request", (request) => asked.push([request.url(), request.headers().authorization]));
  await page.reload();
  await drawn(page);
  assert.equal(await dialog(page).isVisible(), false);
  await page.locator("#mark").waitFor();
  await page.locator("nav a[data-view=status]").click();
  await page.locator("#map .station").first().waitFor();
  assert.ok(!page.url().includes(read) && asked.every(([url]) => !url.includes(read)), "it is in no address");
  for (const [url, authorization] of asked.filter(([address]) => /\/v1\/|\/metrics\//.test(address))) {
    assert.equal(authorization, `Bearer ${read}`, url);
  }
  const kept = await page.evaluate(() => [JSON.stringify(localStorage), document.cookie, document.documentElement.outerHTML]);
  assert.ok(kept.every((text) => !text.includes(read)));
  const otherTab = await page.context().newPage();
  await otherTab.goto(rig.api + GRAPH);
  await asks(otherTab);
  const otherBrowser = await rig.page(GRAPH);
  await asks(otherBrowser);
  await done(otherBrowser, REFUSED);
  await done(page, REFUSED);
});

browserTest("who gives no token is told so, and can be asked again", async () => {
  const page = await rig.page(GRAPH);
  await asks(page);
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "hidden" });
  await page.locator("#error", { hasText: "a token is needed" }).waitFor();
  await page.locator("#complete", { hasText: "completeness is not known" }).waitFor();
  await page.locator("#tree .note", { hasText: "a token is needed" }).waitFor();
  await page.waitForResponse((response) => response.url().endsWith("/v1/status"));
  await page.waitForResponse((response) => response.url().endsWith("/v1/status"));
  assert.equal(await dialog(page).isVisible(), false, "it does not ask again by itself");
  await isAccessible(page);
  await rig.screenshot(page, "token-declined");
  await page.locator("#sign-in").click();
  await asks(page);
  await page.locator("#token-dialog [data-close]").click();
  await dialog(page).waitFor({ state: "hidden" });
  await page.locator("#sign-in").click();
  await give(page, rig.tokens.read);
  await drawn(page);
  await page.locator("#error").waitFor({ state: "hidden" });
  await page.locator("#sign-in").waitFor({ state: "hidden" });
  await page.locator("#tree [role=treeitem][data-id]").first().waitFor();
  await done(page, REFUSED);
});

browserTest("a token that is refused later is asked for once, and the graph goes on", async () => {
  const page = await signedIn(GRAPH);
  await drawn(page);
  const sentence = "the token 'test' has expired: ask for a new one";
  await page.route(/\/v1\//, (route) => route.fulfill({ status: 401, json: { error: sentence } }));
  await dialog(page).waitFor();
  assert.equal(await page.locator("#token-reason").textContent(), sentence);
  await give(page, rig.tokens.read);
  await page.locator("#token-dialog .error", { hasText: "has expired" }).waitFor();
  await page.unroute(/\/v1\//);
  await give(page, rig.tokens.read);
  await dialog(page).waitFor({ state: "hidden" });
  await page.waitForResponse((response) => response.url().includes("/v1/series") && response.ok());
  assert.equal(await page.locator("#error").isVisible(), false);
  await done(page, REFUSED);
});

browserTest("a token that may only read writes no marks and runs no audit", async () => {
  const id = "0194f7a2-7c1e-4b6f-9d55-1f0c1a2b3c4d";
  const annotations = (scope, options) => fetch(`${rig.api}/v1/annotations`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...rig.authorization(scope) },
    body: JSON.stringify({ id, what: "deploy", ...options }),
  });
  assert.equal((await annotations("read")).status, 403);
  assert.equal((await annotations("write")).status, 201);
  const page = await rig.page(GRAPH);
  await describe(page, { name: "reader", scopes: ["read"] });
  await asks(page);
  await give(page, rig.tokens.read);
  await page.locator("#marks summary", { hasText: "1 mark" }).click();
  const remove = page.locator("#marks button[aria-label='Remove the mark deploy']");
  const sentence = (scope) => `The token 'reader' has not the scope ${scope} that this needs.`;
  for (const button of [remove, page.locator("#mark")]) {
    await until("it cannot be pressed", () => button.isDisabled());
    assert.equal(await button.getAttribute("title"), sentence("write"));
  }
  await isAccessible(page);
  await page.locator("nav a[data-view=status]").click();
  await until("no audit", () => page.locator("#audit-run").isDisabled());
  assert.equal(await page.locator("#audit-run").getAttribute("title"), sentence("admin"));
  await page.unroute("**/v1/status");
  await describe(page, { name: "writer", scopes: ["read", "write", "admin"] });
  await until("an audit", () => page.locator("#audit-run").isEnabled());
  await page.locator("nav a[data-view=graph]").click();
  await until("both can be pressed", async () => (await remove.isEnabled()) && (await page.locator("#mark").isEnabled()));
  await done(page, REFUSED);
});

browserTest("the head says which names, and until when", async () => {
  const page = await signedIn(GRAPH);
  const expires = Math.floor(Date.now() / 1000) + 3 * DAY_S;
  await describe(page, { name: "shop", scopes: ["read"], prefixes: ["shop."], expires });
  await page.locator("#viewer .late", { hasText: "view of shop: shop.*, expires in 3 days" }).waitFor();
  assert.match(await viewer(page).getAttribute("title"), /Names that begin with shop\.\nScopes: read\nExpires 20\d\d-.* UTC$/);
  await isAccessible(page);
  await rig.screenshot(page, "token-expires");
  await page.unroute("**/v1/status");
  await describe(page, { name: "<b>all</b>", scopes: ["read", "write"], prefixes: ["a.", "b.", "c.", "d."], expires: expires + 12 * DAY_S });
  await until("many names", async () => (await viewer(page).textContent()) === "view of <b>all</b>: a.*, b.* and 2 more");
  assert.equal(await page.locator("#viewer .late").count(), 0);
  await page.setViewportSize({ width: 360, height: 740 });
  await fits(page);
  await rig.screenshot(page, "token-phone");
  await done(page, REFUSED);
});

browserTest("the API's CSV is saved under the token", async () => {
  const page = await signedIn(GRAPH, { acceptDownloads: true });
  await drawn(page);
  const download = page.waitForEvent("download");
  await page.locator("#csv").click();
  const file = await download;
  assert.equal(file.suggestedFilename(), "test.page.view.csv");
  const lines = (await readFile(await file.path(), "utf8")).trim().split("\n");
  assert.equal(lines[0], "name,time,count");
  const counts = lines.slice(1).map((line) => Number(line.split(",")[2]));
  assert.equal(counts.reduce((a, b) => a + b), 465);
  await done(page, REFUSED);
});

browserTest("signing out forgets the token, and asks again", async () => {
  const page = await signedIn(GRAPH);
  await drawn(page);
  await page.locator("#sign-out").click();
  await asks(page);
  assert.equal(await page.locator("#chart canvas").count(), 0);
  assert.ok(!(await page.evaluate(() => JSON.stringify(sessionStorage))).includes(rig.tokens.read));
  await done(page, REFUSED);
});

browserTest("a browser that keeps nothing keeps the token as long as the page is open", async () => {
  const page = await rig.page("/healthz");
  await page.addInitScript(() => Object.defineProperty(globalThis, "sessionStorage", { get() { throw new Error("it keeps nothing"); } }));
  await page.goto(rig.api + GRAPH);
  await asks(page);
  await give(page, rig.tokens.read);
  await drawn(page);
  await page.locator("#sign-out").click();
  await asks(page);
  await done(page, /401|favicon/);
});
