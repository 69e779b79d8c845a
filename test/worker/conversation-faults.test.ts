/**
 * The store of responses refuses, hangs, is slow or gives back other bytes: no answer is lost and none waits longer than
 * 2 s for it, what is not stored says so, and what cannot be read is refused in the contract's words before anybody is
 * called.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { billedWire } from "../support/billed.ts";
import { type ChatRig, expectError, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT, type Faults, setFaults } from "../support/faults.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { eventData, readStream } from "../support/sse.ts";
import { chunks, completion } from "../support/upstream.ts";

type Json = Readonly<Record<string, unknown>>;

let rig: ChatRig;
let chat: TestRoute;
let native: TestRoute;
beforeAll(async () => {
  rig = await startChatRig({}, FAULTS_FRONT);
  chat = await rig.route({ providers: ["groq"] });
  native = await rig.route({ providers: ["openai"] });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());
afterEach(() => setFaults(rig.worker));

const call = (route: TestRoute, path: string, method: string, body?: object): Promise<Response> =>
  rig.worker.fetch(`/v1/responses${path}`, {
    method,
    headers: rig.headers(route),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const ask = (route: TestRoute, body: object = {}): Promise<Response> =>
  call(route, "", "POST", { model: route.model, input: "Hi.", ...body });

async function stored(route: TestRoute): Promise<string> {
  rig.upstream.scriptFor(route.models[0] ?? "", { json: completion() });
  const answer = (await (await ask(route)).json()) as Json;
  expect(answer).toMatchObject({ store: true });
  expect(answer["flow"]).not.toHaveProperty("stored");
  rig.upstream.reset();
  return String(answer["id"]);
}

/** The contract's 2 s, and what a busy machine adds. */
const MAX_HELD_MS = 4_500;
const USED = { input: 3, output: 2 };

const FAULTS: readonly (readonly [string, Faults])[] = [
  ["is reset", { store: "reset" }],
  ["is overloaded", { store: "overloaded" }],
  ["never answers", { store: "hang" }],
  ["takes longer than 5 s", { storeMs: 5_500 }],
];

describe.each(FAULTS)("a store that %s", (_, faults) => {
  test("holds no answer, and what is not stored says so", async () => {
    rig.upstream.scriptFor(chat.models[0] ?? "", { json: completion({ text: "Whole." }) });
    await setFaults(rig.worker, faults);
    const startedAt = performance.now();
    const response = await ask(chat);
    expect(await response.json()).toMatchObject({
      ...{ status: "completed", store: false, flow: { stored: false, provider: "groq" } },
      output: [{ content: [{ text: "Whole." }] }],
    });
    expect(performance.now() - startedAt).toBeLessThan(MAX_HELD_MS);
    expect(rig.upstream.calls).toHaveLength(1);
    expect(await rig.trace(chat, response)).toMatchObject({ status: "ok", http_status: 200 });
  });

  test("ends no stream, which says so in its last event", async () => {
    rig.upstream.scriptFor(chat.models[0] ?? "", { events: chunks("In pieces.") });
    await setFaults(rig.worker, faults);
    const startedAt = performance.now();
    const response = await ask(chat, { stream: true });
    const { text, isBroken } = await readStream(response);
    expect([isBroken, performance.now() - startedAt < MAX_HELD_MS]).toEqual([false, true]);
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.response).toMatchObject({
      ...{ status: "completed", store: false, flow: { stored: false } },
      output: [{ content: [{ text: "In pieces." }] }],
    });
    expect(await rig.trace(chat, response)).toMatchObject({ status: "ok" });
  });

  test("nor one of a provider that speaks Responses itself", async () => {
    rig.upstream.scriptFor(native.models[0] ?? "", billedWire("responses").whole("Native.", USED));
    await setFaults(rig.worker, faults);
    expect(await (await ask(native)).json()).toMatchObject({
      ...{ id: "resp_b", store: false, flow: { stored: false } },
      output: [{ content: [{ text: "Native." }] }],
    });
    rig.upstream.scriptFor(native.models[0] ?? "", billedWire("responses").stream("Native.", USED));
    const startedAt = performance.now();
    const { text, isBroken } = await readStream(await ask(native, { stream: true }));
    expect([isBroken, performance.now() - startedAt < MAX_HELD_MS]).toEqual([false, true]);
    const last = eventData(text).findLast((data) => data.startsWith("{"));
    expect(JSON.parse(last ?? "{}")).toMatchObject({
      type: "response.completed",
      response: { id: "resp_b", store: false, flow: { stored: false }, output: [{ content: [{ text: "Native." }] }] },
    });
  });

  test("refuses what refers to it, before a provider is called", async () => {
    const id = await stored(chat);
    await setFaults(rig.worker, faults);
    const item = { type: "item_reference", id: `msg_${id.slice(5)}0000` };
    const refused = [
      () => ask(chat, { previous_response_id: id }),
      () => ask(chat, { input: [item], store: false, stream: true }),
      () => call(chat, "/input_tokens", "POST", { model: chat.model, previous_response_id: id, input: "a" }),
      () => call(chat, `/${id}`, "GET"),
      () => call(chat, `/${id}/input_items`, "GET"),
      () => call(chat, `/${id}`, "DELETE"),
    ];
    const answers = await Promise.all(refused.map((send) => send()));
    for (const response of answers) {
      expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
      const { error } = await expectError(response, { status: 503, code: "ledger_unavailable", retry: true });
      expect(error.message).toMatch(/send the whole input/);
    }
    expect(rig.upstream.calls).toHaveLength(0);
    await setFaults(rig.worker);
    // A deletion that was told as failed may have come late; what was there is read again or is gone, and never broken.
    expect([200, 404]).toContain((await call(chat, `/${id}`, "GET")).status);
    rig.upstream.scriptFor(chat.models[0] ?? "", { json: completion() });
    expect(await (await ask(chat)).json()).toMatchObject({ store: true });
  });

  test("is not waited for by a request that needs none of it", async () => {
    rig.upstream.scriptFor(chat.models[0] ?? "", { json: completion({ text: "Forgotten." }) });
    await setFaults(rig.worker, faults);
    const startedAt = performance.now();
    expect((await ask(chat, { store: false })).status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(1_900);
  });
});

test("a response that cannot be opened is not there: the client sends the whole input", async () => {
  const id = await stored(chat);
  await setFaults(rig.worker, { store: "garble" });
  for (const send of [() => call(chat, `/${id}`, "GET"), () => ask(chat, { previous_response_id: id })]) {
    const { error } = await expectError(await send(), { status: 404, code: "response_not_found" });
    expect(error.message).toMatch(/send the whole input/i);
  }
  expect(rig.upstream.calls).toHaveLength(0);
  await setFaults(rig.worker);
  expect((await call(chat, `/${id}`, "GET")).status).toBe(200);
});

test("a second of delay is waited for", async () => {
  const id = await stored(chat);
  rig.upstream.scriptFor(chat.models[0] ?? "", { json: completion() });
  await setFaults(rig.worker, { storeMs: 700 });
  expect(await (await ask(chat, { previous_response_id: id })).json()).toMatchObject({
    store: true,
    previous_response_id: id,
  });
});
