import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import { address, browserTest, done, rig, row, until } from "./rig.js";

const MINUTE_S = 60;
const DAY_S = 86_400;

/** A minute that ended an hour ago. */
let base;

const cell = (page, label, at) => async () => (await row(page, label))?.[at];
const total = async (page, label, expected) =>
  until(`the total of ${label}`, async () => (await cell(page, label, 1)()) === expected);
const answered = (page, path) => page.waitForResponse((response) => new URL(response.url()).pathname === path);
const drawn = (page) => page.locator("#chart canvas").waitFor();

before(async () => {
  await rig.start();
  base = Math.floor(Date.now() / 1000 / MINUTE_S) * MINUTE_S - 3_600;
  const events = [];
  for (let minute = 0; minute < 30; minute++) {
    const timestamp = base + minute * MINUTE_S;
    events.push({ name: "test.page.view", count: minute + 1, timestamp });
    events.push({ name: "test.page.left", count: 2, timestamp });
    events.push({ name: "test.page.view", count: 10, timestamp: timestamp - DAY_S });
    events.push({ name: "test.page.view", count: 20, timestamp: timestamp - 7 * DAY_S });
  }
  await rig.count(events);
});
after(() => rig.stop());

browserTest("a name is found as it is typed, most counted first, and plotted", async () => {
  const page = await rig.page("/");
  await page.locator("#popular .cards button").first().waitFor();
  await rig.screenshot(page, "start");
  await page.locator("#search").pressSequentially("page");
  await page.locator("#search-names [data-value='test.page.view']").waitFor();
  const found = await page.locator("#search-names [data-value]").evaluateAll((all) => all.map((one) => one.dataset.value));
  const { names } = await rig.json("/v1/names?query=page");
  assert.deepEqual(found, names.map(({ name }) => name));
  assert.ok(found.indexOf("test.page.view") < found.indexOf("test.page.left"), String(found));
  await rig.screenshot(page, "search");
  await page.locator("#search-names [data-value='test.page.view']").click();
  await drawn(page);
  assert.deepEqual(address(page).getAll("name"), ["test.page.view"]);
  await total(page, "test.page.view", "465");
  await done(page);
});

browserTest("names are found in the tree", async () => {
  const page = await rig.page("/");
  const node = (id) => page.locator(`#tree [data-id='${id}']`);
  await node("test").click();
  await node("test.page").click();
  await node("test.page.view").locator(".pick").click();
  await total(page, "test.page.view", "465");
  await rig.screenshot(page, "tree");
  const focused = () => page.evaluate(() => document.activeElement.dataset.id);
  await node("web").focus();
  await page.keyboard.press("ArrowRight");
  await node("web.load").waitFor();
  await page.keyboard.press("ArrowRight");
  assert.match(await focused(), /^web\./);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await focused(), "web");
  await page.keyboard.press("ArrowLeft");
  await node("web.load").waitFor({ state: "hidden" });
  await page.keyboard.press("End");
  await page.keyboard.press("Home");
  assert.equal(await focused(), "web");
  await done(page);
});

browserTest("several names are plotted as lines, stacked, as their sum, and against earlier days", async () => {
  const page = await rig.page("/?name=test.page.view");
  await page.locator("#search").fill("test.page.left");
  await page.locator("#search").press("Enter");
  await total(page, "test.page.left", "60");
  await page.locator("select[name=mode]").selectOption("stack");
  await until("the address", () => address(page).get("mode") === "stack");
  await total(page, "test.page.view", "465");
  await rig.screenshot(page, "stacked");
  await page.locator("select[name=mode]").selectOption("sum");
  await total(page, "sum of 2 names", "525");
  await page.locator("select[name=mode]").selectOption("lines");
  await page.locator("input[name=compare-1d]").check();
  await page.locator("input[name=compare-7d]").check();
  await total(page, "test.page.view, yesterday", "300");
  await total(page, "test.page.view, last week", "600");
  assert.equal(address(page).get("compare"), "1d,7d");
  await rig.screenshot(page, "compared");
  await page.locator("#chips button[aria-label='Remove test.page.left']").click();
  await until("one line is left", async () => (await row(page, "test.page.left")) === undefined);
  assert.deepEqual(address(page).getAll("name"), ["test.page.view"]);
  await done(page);
});

browserTest("dragging zooms, the step follows, and Back returns", async () => {
  const page = await rig.page("/?name=web.request.count&from=-7d");
  await drawn(page);
  const step = () => page.locator("#controls select[name=step] option").first().textContent();
  await until("the step of a week", async () => (await step()) === "auto (15m)");
  const box = await page.locator("#chart .u-over").boundingBox();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.95, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await until("the step of a part of it", async () => (await step()) === "auto (1m)");
  const [from, end] = ["from", "until"].map((key) => Number(address(page).get(key)));
  assert.ok(Math.abs(end - from - 0.05 * 7 * DAY_S) < 0.01 * 7 * DAY_S, `${from} to ${end}`);
  await rig.screenshot(page, "zoomed");
  await page.locator("#zoom-out").click();
  await until("a wider range", () => address(page).get("from") !== String(from));
  await page.goBack();
  await page.goBack();
  await until("the week again", () => address(page).get("from") === "-7d");
  await until("its step", async () => (await step()) === "auto (15m)");
  await done(page);
});

browserTest("a live graph follows, without a flicker", async () => {
  const page = await rig.page("/?name=test.live&from=-1h");
  await page.locator("#lines", { hasText: "Nothing was counted" }).waitFor();
  await rig.count([{ name: "test.live", count: 5 }]);
  await total(page, "test.live", "5");
  await page.locator("#chart canvas").evaluate((canvas) => { canvas.dataset.same = "1"; });
  await rig.count([{ name: "test.live", count: 7 }]);
  await total(page, "test.live", "12");
  assert.equal(await page.locator("#chart canvas").getAttribute("data-same"), "1");
  await done(page);
});

browserTest("a line that is not shown stays hidden, however the others are drawn", async () => {
  const page = await rig.page("/?name=test.page.*&from=-6h&mode=stack");
  await total(page, "test.page.view", "465");
  await page.locator("input[aria-label='Show test.page.view']").uncheck();
  await page.locator("select[name=mode]").selectOption("lines");
  await until("the address", () => address(page).get("mode") === null);
  await answered(page, "/v1/series");
  assert.equal(await page.locator("input[aria-label='Show test.page.view']").isChecked(), false);
  await page.locator("#chart").focus();
  await page.keyboard.press("Home");
  await page.locator("#chart-told", { hasText: "test.page.left" }).waitFor({ state: "attached" });
  assert.doesNotMatch(await page.locator("#chart-told").textContent(), /test\.page\.view/);
  await done(page);
});

browserTest("a live graph takes nothing out of anybody's hands", async () => {
  const page = await rig.page("/?name=test.page.view&name=test.page.left&from=-6h");
  await total(page, "test.page.view", "465");
  await page.locator("details.table summary").first().click();
  await page.locator("#plot details.table tbody tr").first().waitFor();
  await page.locator("#plot details.table tbody tr").first().evaluate((first) => { first.dataset.same = "1"; });
  const button = page.locator("#chips button[aria-label='Remove test.page.view']");
  await button.focus();
  await answered(page, "/v1/series");
  await answered(page, "/v1/series");
  assert.equal(await button.evaluate((node) => node === document.activeElement), true);
  await button.press("Enter");
  await until("the next one has the focus", () =>
    page.evaluate(() => document.activeElement.getAttribute("aria-label") === "Remove test.page.left"));
  await done(page);
});

browserTest("names with every character are plotted, linked and saved", async () => {
  const name = "test:a/b@c#d+e%f~g=h_i-j.K";
  await rig.count([{ name, count: 4, timestamp: base }]);
  const page = await rig.page("/");
  await page.locator("#search").fill("a/b@c#d+e%f~g=");
  await page.locator("#search-names [data-value]").first().click();
  await total(page, name, "4");
  await page.reload();
  await total(page, name, "4");
  assert.deepEqual(address(page).getAll("name"), [name]);
  await done(page);
});

browserTest("a link is a view, and its CSV has the exact counts", async () => {
  const page = await rig.page(`/?name=test.page.*&from=${base}&until=${base + 1_800}&step=5m&zone=local`, { acceptDownloads: true });
  await total(page, "test.page.view", "465");
  assert.equal(await page.locator("#controls select[name=step]").inputValue(), "5m");
  assert.equal(await page.locator("input[name=live]").isDisabled(), true);
  assert.equal(await page.locator("#zone").textContent(), "local");
  assert.match(await page.title(), /test\.page\.\*/);
  const csv = async () => {
    const download = page.waitForEvent("download");
    await page.locator("#csv").click();
    return (await readFile(await (await download).path(), "utf8")).trim().split("\n");
  };
  const lines = await csv();
  assert.equal(lines[0], "name,time,count");
  const views = lines.filter((line) => line.startsWith("test.page.view,")).map((line) => Number(line.split(",")[2]));
  assert.equal(views.length, base % 300 === 0 ? 6 : 7);
  assert.equal(views.reduce((a, b) => a + b), 465);
  await page.locator("select[name=mode]").selectOption("sum");
  await total(page, "sum of 2 names", "525");
  await page.locator("#zone").click();
  await page.locator("input[name=from]").fill("2026-01-02 03:04");
  await page.locator("input[name=from]").press("Enter");
  await until("what was typed is an instant", () => address(page).get("from") === String(Date.UTC(2026, 0, 2, 3, 4) / 1000));
  await page.goBack();
  await total(page, "sum of 2 names", "525");
  const sums = (await csv()).slice(1).map((line) => Number(line.split(",").at(-1)));
  assert.equal(sums.reduce((a, b) => a + b), 525);
  await done(page);
});

browserTest("a mark is added and drawn for everybody", async () => {
  const page = await rig.page("/?name=test.page.view&from=-6h");
  await page.locator("#mark").click();
  await page.locator("#mark-dialog input[name=what]").fill("deploy");
  await page.locator("#mark-dialog input[name=data]").fill("v12");
  await page.locator("#mark-dialog input[name=when]").fill("soon");
  await page.locator("#mark-dialog button[value=add]").click();
  await page.locator("#mark-dialog .error", { hasText: "When is not a time" }).waitFor();
  await page.locator("#mark-dialog input[name=when]").fill("-45m");
  await page.locator("#mark-dialog button[value=add]").click();
  await page.locator("#marks summary", { hasText: "1 mark" }).click();
  await page.locator("#marks td", { hasText: "deploy" }).waitFor();
  await rig.screenshot(page, "marked");
  const other = await rig.page("/?name=web.load&from=-6h");
  await other.locator("#marks summary", { hasText: "1 mark" }).click();
  await other.locator("#marks button[aria-label='Remove the mark deploy']").click();
  await other.locator("#marks").waitFor({ state: "hidden" });
  await done(other);
  await page.locator("#marks").waitFor({ state: "hidden" });
  await page.route("**/v1/annotations?*", (route) => route.abort());
  await page.locator("#marks summary", { hasText: "The API does not answer" }).waitFor();
  await page.locator("#chart canvas").waitFor();
  await done(page, /ERR_FAILED/);
});

browserTest("what the API refuses is said in its words", async () => {
  const refused = /400 \(Bad Request\)/;
  const page = await rig.page("/?name=web.load&from=now&until=-1h");
  await page.locator("#error", { hasText: "from is not before until" }).waitFor();
  await rig.screenshot(page, "refused");
  await page.locator("#ranges button[data-from='-1h']").click();
  await drawn(page);
  await page.locator("#error").waitFor({ state: "hidden" });
  await done(page, refused);
  const open = await rig.page("/?name=web.%5B");
  await open.locator("#error", { hasText: "pattern has an opening '[' without its end" }).waitFor();
  await done(open, refused);
});

browserTest("an API that is away is said, and come back from", async () => {
  const page = await rig.page("/?name=test.page.view&from=-6h");
  await total(page, "test.page.view", "465");
  await page.context().setOffline(true);
  await page.locator("#error", { hasText: "The API does not answer" }).waitFor();
  await page.locator("#complete.late", { hasText: "the API does not answer" }).waitFor();
  await page.context().setOffline(false);
  await page.locator("#error").waitFor({ state: "hidden" });
  await page.locator("#complete", { hasText: "complete until" }).waitFor();
  const { pids } = await rig.description();
  process.kill(pids.api, "SIGKILL");
  await until("another one runs", async () => (await rig.description()).pids.api !== pids.api);
  // It runs before it listens.
  await until("it answers", () => fetch(`${rig.api}/healthz`).then((response) => response.ok, () => false));
  await rig.count([{ name: "test.page.view", count: 35 }]);
  await total(page, "test.page.view", "500");
  await done(page, /ERR_INTERNET_DISCONNECTED|ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET/);
});
