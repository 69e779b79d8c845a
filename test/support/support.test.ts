/** The rig itself: what the tests of the product take for granted. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectRaw, requestText } from "./raw.ts";
import { chunks, completion, startUpstream, type Upstream } from "./upstream.ts";
import { startWorker, type TestWorker } from "./worker.ts";

const FORWARD = `export default { fetch(request, env) {
  const url = new URL(request.url);
  console.log("forwarding " + url.pathname);
  return fetch(env.UPSTREAM + url.pathname, { method: request.method, body: request.body, signal: request.signal });
} };`;

let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ script: FORWARD, vars: { UPSTREAM: upstream.url } });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});
beforeEach(() => upstream.reset());

const ask = (path = "/v1/chat/completions", body: object = { model: "m" }) =>
  worker.fetch(path, { method: "POST", body: JSON.stringify(body) });

test("a worker reaches a private upstream, and its console can be read", async () => {
  const answer = await (await ask()).json();
  expect(answer).toMatchObject(completion());
  expect(upstream.calls).toMatchObject([{ method: "POST", path: "/v1/chat/completions", model: "m" }]);
  await expect.poll(() => worker.logs()).toContain("forwarding /v1/chat/completions");
  await expect.poll(() => upstream.calls[0]?.closedBy).toBe("upstream");
  expect(upstream.droppedByRouter()).toBe(0);
});

test("scripts are chosen by path, then by model, and a list is used up one by one", async () => {
  upstream.scriptFor("/v1/models", { json: { at: "path" } });
  upstream.scriptFor("second", { json: { at: "model" } });
  upstream.script([{ status: 503 }, { json: { at: "default" } }]);
  expect(await (await ask("/v1/models")).json()).toEqual({ at: "path" });
  expect(await (await ask("/x", { model: "second" })).json()).toEqual({ at: "model" });
  expect((await ask()).status).toBe(503);
  expect(await (await ask()).json()).toEqual({ at: "default" });
  expect(await (await ask()).json()).toEqual({ at: "default" });
  expect(upstream.callsTo("second")).toHaveLength(1);
});

test.each([
  { name: "whole", more: {}, whole: true },
  { name: "one byte at a time", more: { sliceBytes: 1 }, whole: true },
  { name: "ended by the connection", more: { closeDelimited: true, end: "fin" as const }, whole: true },
  { name: "with pauses", more: { headMs: 5, firstEventMs: 5, gapMs: 2 }, whole: true },
  { name: "closed in its middle", more: { end: "fin" as const }, whole: false },
  { name: "reset in its middle", more: { end: "reset" as const, gapMs: 5 }, whole: false },
])("a stream comes $name", async ({ more, whole }) => {
  const events = chunks("one two three");
  upstream.script({ events, ...more });
  const text = (await ask()).text();
  if (whole) expect(await text).toBe(events.join(""));
  else await expect(text).rejects.toThrow();
});

test("a client that leaves is counted as dropped by the router", async () => {
  upstream.script([{ events: chunks("a").slice(0, 2), end: "stall" }, { hang: true }]);
  const body = JSON.stringify({ model: "m" });
  for (const dropped of [1, 2]) {
    const client = await connectRaw(worker.url);
    client.send(requestText("POST", "/x", {}, body));
    await expect.poll(() => upstream.calls.length).toBe(dropped);
    client.reset();
    await expect.poll(() => upstream.droppedByRouter()).toBe(dropped);
  }
});

test("raw bytes reach the client's side and come back parsed", async () => {
  upstream.script({ raw: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" });
  const client = await connectRaw(worker.url);
  client.send(requestText("POST", "/x", {}, "{}"));
  expect(await client.response()).toMatchObject({ status: 200, body: "hello" });
  client.close();
});
