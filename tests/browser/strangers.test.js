// What a page of somebody else can do in a browser beside a loopback service.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before } from "node:test";
import { browserTest, done, rig, until } from "./rig.js";

/** Serves a page that does nothing, at whatever name. */
const elsewhere = http.createServer((_, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end("<!doctype html><title>elsewhere</title>");
});

before(async () => {
  await rig.start();
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
});
after(async () => {
  elsewhere.close();
  await rig.stop();
});

/** A page of `host` beside ours. */
async function pageOf(host) {
  const page = await rig.page("/healthz");
  await page.goto(`http://${host}:${elsewhere.address().port}/`);
  return page;
}

/** Whether the browser took it; the answer is for no page. */
const beacon = (page, collector, name) =>
  page.evaluate(([address, body]) => navigator.sendBeacon(address, body), [`${collector}/v1/events`, JSON.stringify({ name })]);

async function refusedByPage(collector) {
  const metrics = await (await fetch(`${collector}/metrics`)).text();
  return Number(/^collector_requests_total\{status="403"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
}

browserTest("a name of the page's own does not lead to a loopback service", async () => {
  const page = await rig.page("/healthz");
  const { regions } = await rig.description();
  const port = (address) => new URL(address).port;
  for (const address of [`${rig.port}/`, `${rig.port}/v1/status`, `${port(regions.eu.collector)}/metrics`]) {
    const response = await page.goto(`http://evil.example:${address}`);
    assert.equal(response.status(), 421, address);
    assert.match(await response.text(), /allowed_hosts/);
  }
  assert.equal((await page.goto(`http://evil.example:${rig.port}/healthz`)).status(), 200);
  // Without a page there is no icon in it, and the browser asks for its own.
  await done(page, /421|favicon/);
});

browserTest("a page of another site counts nothing, and one of our own does", async () => {
  const { regions: { eu: { collector } } } = await rig.description();
  const evil = await pageOf("evil.example");
  assert.ok(await beacon(evil, collector, "page.evil"));
  await evil.evaluate(([address]) => fetch(address, { method: "POST", mode: "no-cors", body: '{"name":"page.evil"}', referrerPolicy: "no-referrer" }),
    [`${collector}/v1/events`]);
  await until("both are refused", async () => (await refusedByPage(collector)) === 2);

  const own = await pageOf("localhost");
  assert.ok(await beacon(own, collector, "page.own"));
  await until("the page's event is counted", async () => (await rig.json("/v1/names?query=page.own")).names.length === 1);
  assert.deepEqual((await rig.json("/v1/names?query=page.evil")).names, []);
  await done(evil, /403/);
  await done(own);
});

browserTest("a page of another site marks nothing", async () => {
  const evil = await pageOf("evil.example");
  const outcome = await evil.evaluate(async ([address]) => {
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"what":"evil"}' };
    const unasked = { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: '{"what":"evil"}' };
    const outcomes = await Promise.allSettled([fetch(address, asked), fetch(address, unasked)]);
    return outcomes.map(({ status }) => status);
  }, [`${rig.api}/v1/annotations`]);
  assert.deepEqual(outcome, ["rejected", "fulfilled"]);
  const { annotations } = await rig.json("/v1/annotations");
  assert.ok(!annotations.some(({ what }) => what === "evil"));
  await done(evil, /403|405|CORS|ERR_FAILED/);
});
