import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before } from "node:test";
import { promisify } from "node:util";
import { address, browserTest, done, fits, isAccessible, rig, row, until } from "./rig.js";

const MINUTE_S = 60;
const NAMES_MANY = 100_000;

const VIEWS = {
  start: "/",
  graph: "/?name=web.status.*&from=-6h&mode=stack",
  relation: "/?view=relation&x=web.load/web.load.samples&y=shop.item.sold",
  status: "/?view=status",
};

/** Each view has something of its own to wait for. */
const SHOWN = {
  start: "#popular .cards polyline",
  graph: "#chart canvas",
  relation: "#fit .equation",
  status: "#map .station",
};

before(async () => { await rig.start(); });
after(() => rig.stop());

browserTest("items sold as a function of load are two clicks away", async () => {
  const base = Math.floor(Date.now() / 1000 / MINUTE_S) * MINUTE_S - 3_600;
  const events = [];
  for (let minute = 0; minute < 30; minute++) {
    const timestamp = base + minute * MINUTE_S;
    const load = 20 + ((minute * 7) % 13);
    events.push({ name: "test.load", count: 3 * load, timestamp }, { name: "test.load.samples", count: 3, timestamp });
    events.push({ name: "test.sold", count: 100 * load + 5, timestamp });
  }
  await rig.count(events);
  const page = await rig.page("/?name=test.sold&from=-6h");
  await page.locator("#chart canvas").waitFor();
  await page.locator("#relate").click();
  await page.locator("#suggestions button", { hasText: "mean test.load" }).click();
  await page.locator("#fit .equation").waitFor();
  assert.equal(await page.locator("#fit .equation").textContent(), "test.sold ≈ 100 × mean test.load + 5");
  assert.match(await page.locator("#fit").textContent(), /30 points, one for each 1m\. Correlation 1\.000: a strong relation/);
  assert.equal(address(page).get("x"), "test.load/test.load.samples");
  const box = await page.locator("#scatter .u-over").boundingBox();
  await until("a point is told", async () => {
    for (let x = 0; x < box.width; x += 15) {
      await page.mouse.move(box.x + x, box.y + box.height * (1 - x / box.width));
      if (await page.locator("#scatter .tip").isVisible()) return true;
    }
    return false;
  });
  await rig.screenshot(page, "relation-exact");
  await page.locator("#swap").click();
  await until("the axes are swapped", () => address(page).get("y") === "test.load/test.load.samples");
  await page.locator("#fit .equation", { hasText: "mean test.load ≈ 0.01 × test.sold" }).waitFor();
  await page.locator("#x").fill("no.such.name");
  await page.locator("#x").press("Enter");
  await page.locator("#fit", { hasText: "No moment of this range has a value of both" }).waitFor();
  await done(page);
});

browserTest("a region that is stuck is named, with the reason, wherever counts are shown", async () => {
  const { regions } = await rig.description();
  const worker = regions.us.pids.worker;
  const page = await rig.page("/?name=web.request.count&from=-1h");
  await page.locator("#partial", { hasText: "Shaded: not over yet" }).waitFor();
  process.kill(worker, "SIGSTOP");
  try {
    await page.locator("#partial.late", { hasText: "Region us: " }).waitFor();
    assert.match(await page.locator("#partial").textContent(), /not complete since .* Region us: \S/);
    assert.doesNotMatch(await page.locator("#partial").textContent(), /Region eu/);
    await page.locator("#complete.late", { hasText: "us" }).waitFor();
    await rig.screenshot(page, "stuck-graph");
    await page.locator("nav a[data-view=status]").click();
    await page.locator("#map .reason", { hasText: "Held back: " }).waitFor();
    await page.locator("#summary", { hasText: "us holds everything back" }).waitFor();
    assert.equal(await page.locator("#map .reason").count(), 1);
    await rig.screenshot(page, "stuck-status");
  } finally {
    process.kill(worker, "SIGCONT");
  }
  await page.locator("#summary", { hasText: "Every region is on time" }).waitFor();
  await page.locator("#shards summary").click();
  await page.waitForResponse((response) => response.url().endsWith("/v1/status"));
  await page.waitForResponse((response) => response.url().endsWith("/v1/status"));
  assert.equal(await page.locator("#shards tbody tr").last().isVisible(), true, "it stays open");
  await page.locator("#audit-run").click();
  await page.locator("#audit .good", { hasText: "Equal: " }).waitFor();
  await rig.screenshot(page, "status-audited");
  await done(page);
});

for (const scheme of ["light", "dark"]) {
  browserTest(`every view can be read in ${scheme} colours and by assistive technology`, async () => {
    for (const [view, path] of Object.entries(VIEWS)) {
      const page = await rig.page(path, { colorScheme: scheme });
      await page.locator(SHOWN[view]).first().waitFor();
      await page.locator("#complete", { hasText: "complete until" }).waitFor();
      const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(back, scheme === "light" ? "rgb(255, 255, 255)" : "rgb(13, 17, 23)");
      await rig.screenshot(page, `${view}-${scheme}`);
      await isAccessible(page);
      await done(page);
    }
  });
}

browserTest("lists, tables and dialogs can be read by assistive technology", async () => {
  const page = await rig.page("/?name=web.load&from=-1h");
  await page.locator("#chart canvas").waitFor();
  await page.locator("#plot details.table summary").click();
  await page.locator("#tree [data-id=web]").click();
  await page.locator("#tree [data-id='web.load']").waitFor();
  await page.locator("#search").fill("web");
  await page.locator("#search-names [data-value]").first().waitFor();
  await page.keyboard.press("ArrowDown");
  await isAccessible(page);
  await page.keyboard.press("Escape");
  for (const [button, dialog] of [["#help", "#help-dialog"], ["#mark", "#mark-dialog"]]) {
    await page.locator(button).click();
    await page.locator(dialog).waitFor();
    await isAccessible(page);
    await page.keyboard.press("Escape");
    await page.locator(dialog).waitFor({ state: "hidden" });
  }
  await done(page);
});

browserTest("colours are chosen by hand, and stay chosen", async () => {
  const page = await rig.page("/", { colorScheme: "light" });
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.locator("#theme").click();
  await page.locator("#theme").click();
  assert.equal(await back(), "rgb(13, 17, 23)");
  assert.equal(await page.locator("#theme").getAttribute("aria-label"), "Colours: dark");
  await page.reload();
  assert.equal(await back(), "rgb(13, 17, 23)");
  await done(page);
});

browserTest("everything works from the keyboard", async () => {
  const page = await rig.page("/");
  await page.locator("#popular .cards button").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("web.load");
  await page.locator("#search-names [data-value='web.load']").waitFor();
  await page.keyboard.press("ArrowDown");
  const active = await page.locator("#search").getAttribute("aria-activedescendant");
  const chosen = await page.locator(`#${active}`).getAttribute("data-value");
  await page.keyboard.press("Enter");
  await until("what was chosen is plotted", () => address(page).get("name") === chosen);
  await page.locator("#chart canvas").waitFor();
  await page.locator("#chart").focus();
  await page.keyboard.press("Home");
  await page.locator("#chart-told", { hasText: `${chosen} ` }).waitFor({ state: "attached" });
  const first = await page.locator("#chart-told").textContent();
  await page.keyboard.press("ArrowRight");
  await until("the next value is told", async () => (await page.locator("#chart-told").textContent()) !== first);
  await page.keyboard.press("-");
  await until("zoomed out", () => address(page).get("from") === "-1080m");
  await page.keyboard.press("+");
  await until("zoomed in", () => address(page).get("from") === "-540m");
  await page.keyboard.press("Shift+ArrowLeft");
  await until("earlier", () => Number(address(page).get("until")) > 0);
  await page.keyboard.press("?");
  await page.locator("#help-dialog").waitFor();
  await rig.screenshot(page, "help");
  await page.locator("#keys").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("s");
  assert.equal(address(page).get("view"), null, "keys are off");
  await page.locator("#help").click();
  await page.locator("#keys").check();
  await page.keyboard.press("Escape");
  await page.keyboard.press("s");
  await page.locator("#map .station").first().waitFor();
  await page.keyboard.press("r");
  await until("the relation", () => address(page).get("view") === "relation");
  await done(page);
});

browserTest("a phone shows every view without scrolling sideways", async () => {
  for (const [view, path] of Object.entries(VIEWS)) {
    const page = await rig.page(path, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await page.locator(SHOWN[view]).first().waitFor();
    await fits(page);
    await rig.screenshot(page, `${view}-phone`);
    if (view === "start") {
      await page.locator("#popular .cards button").first().tap();
      await page.locator("#chart canvas").waitFor();
    }
    await done(page);
  }
});

browserTest(`${NAMES_MANY} names do not make the page heavy`, async () => {
  const { central } = await rig.description();
  const names = `SELECT CONCAT('many.', seq DIV 400, '.', seq MOD 400) AS name FROM seq_1_to_${NAMES_MANY}`;
  await promisify(execFile)("mariadb", ["--no-defaults", "-uroot", `-S${central.socket}`, "bigdata_0", "-e",
    "INSERT INTO EventTags (eventId, tagName, popularity) "
    + `SELECT CAST(CONV(LEFT(MD5(name), 16), 16, 10) AS UNSIGNED), name, 1 FROM (${names}) AS names`]);
  await until("all are listed", async () => (await rig.json("/metrics/find?query=many.*")).length === NAMES_MANY / 400 + 1);
  const page = await rig.page("/");
  await page.locator("#tree [data-id=many]").click();
  await page.locator("#tree .note", { hasText: "more: type to find them" }).or(page.locator("#tree [data-id='many.0']")).first().waitFor();
  const nodes = await page.locator("#tree [data-id]").count();
  assert.ok(nodes > 200 && nodes < 320, `${nodes} nodes`);
  await page.locator("#search").pressSequentially(".249.39");
  await page.locator("#search-names [data-value='many.249.399']").waitFor();
  await page.locator("#search").fill("many");
  await page.locator("#search-names mark").nth(49).waitFor();
  assert.equal(await page.locator("#search-names [data-value]").count(), 50);
  await rig.screenshot(page, "many-names");
  await page.locator("#search").fill("many.7.*");
  await page.locator("#search").press("Enter");
  await page.locator("#error", { hasText: "more than 200 series" }).waitFor();
  assert.equal(await row(page, "many.7.1"), undefined);
  await done(page);
});
