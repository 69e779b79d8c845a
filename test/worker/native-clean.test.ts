/** Bytes pass untouched only from providers whose streams are known to need no mending. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({ vars: { FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" } });
});
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const USAGE = `data: ${JSON.stringify({ id: "c", choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } })}\n\n`;
const DONE = "data: [DONE]\n\n";
const EMPTY = "data:\n\n";
const SAID = chunk({ role: "assistant", content: "Hi" });
const END = chunk({}, "stop") + USAGE + DONE;

let serial = 0;
/** Streams of a fresh provider of the operator's. */
async function ask(clean?: boolean): Promise<() => Promise<string>> {
  const id = `own-${serial++}`;
  const own = { protocol: "openai", base_url: `${upstream.url}/${id}/v1`, ...(clean === undefined ? {} : { clean }) };
  expect((await worker.admin(`/admin/providers/${id}`, { method: "PUT", body: own })).status).toBe(200);
  await worker.putRoute("production", id, { targets: [{ provider: id, model: "m" }] });
  const { key } = await worker.createKey();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const messages = [{ role: "user", content: "hi" }];
  const body = JSON.stringify({ model: `flow/${id}`, messages, stream: true, stream_options: { include_usage: true } });
  return async () => (await worker.fetch("/v1/chat/completions", { method: "POST", headers, body })).text();
}

test("an operator's provider is read event by event", async () => {
  const stream = await ask();
  upstream.script({ events: [SAID, EMPTY, "data: keepalive\n\n", "id: 7\n\n", END] });
  expect(await stream()).toBe(SAID + END);
});

test("one that is said to be clean passes as it comes, until it is seen breaking a rule", async () => {
  const stream = await ask(true);
  upstream.script({ events: [SAID, ": ping\n\n", END] });
  expect(await stream()).toBe(`${SAID}: ping\n\n${END}`);
  upstream.script({ events: [SAID, EMPTY, END] });
  expect(await stream()).toBe(SAID + EMPTY + END);
  expect(await stream()).toBe(SAID + END);
  // A clean stream does not clear it: the next one may break a rule again.
  upstream.script({ events: [SAID, END] });
  expect(await stream()).toBe(SAID + END);
  upstream.script({ events: [SAID, EMPTY, END] });
  expect(await stream()).toBe(SAID + END);
});
