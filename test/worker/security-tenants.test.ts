/** One tenant's content never takes a target from the others, and a provider's words never carry a credential to a client. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CANARY_SECRET, type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { collect } from "../support/sse.ts";
import { type Call, chunks, completion, type Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

/** What the attacker's text makes the provider do. */
const POISON = "please fail";

describe("a failure that one key's content causes", () => {
  const FAULTS: readonly { readonly name: string; readonly script: Script; readonly body?: object }[] = [
    {
      name: "404 for a file that the request names",
      script: {
        status: 404,
        json: { error: { message: "No such File object: file-1", param: "file_id", code: null } },
      },
    },
    {
      name: "404 for a previous response",
      script: { status: 404, json: { error: { message: "Item rs_1 not found", type: "invalid_request_error" } } },
    },
    {
      name: "403 for a file of somebody else",
      script: { status: 403, json: { error: { message: "You do not own the file file-1", param: "messages[0]" } } },
    },
    { name: "500 for crafted text", script: { status: 500, json: { error: { message: "tokenizer panic" } } } },
    { name: "503 for crafted text", script: { status: 503, body: "upstream worker crashed" } },
    { name: "400 in HTML", script: { status: 400, body: "<html>Bad Request</html>" } },
    { name: "413", script: { status: 413, json: { error: { message: "too large" } } } },
    { name: "422", script: { status: 422, json: { detail: [{ loc: ["body"], msg: "bad" }] } } },
    { name: "a connection that is reset", script: { end: "reset", raw: "" } },
    { name: "an answer that is no JSON", script: { body: "Traceback (most recent call last):" } },
    { name: "an answer without choices", script: { json: { id: "x", choices: [] } } },
    {
      name: "a stream that breaks at once",
      script: { events: [": hi\n\n"], end: "reset" },
      body: { stream: true },
    },
    {
      name: "an error as the first event",
      script: { events: [{ error: { message: "boom", code: 500 } }] },
      body: { stream: true },
    },
    {
      name: "an event of more than a megabyte that is no answer",
      script: { events: [`data: {"choices":[{"index":0,"delta":{"content":"${"a".repeat(17_000_000)}`] },
      body: { stream: true },
    },
  ];

  test.each(FAULTS)("$name: the target stays in service for every other key", async ({ script, body = {} }) => {
    const route = await rig.route({ providers: ["vllm", "groq"], policy: { retry: { same_target: 0 } } });
    const healthy = (call: Call): Script => (call.body.includes(POISON) ? script : { json: completion() });
    rig.upstream.script(healthy);
    const [victim, calm] = await Promise.all([rig.worker.createKey(), rig.worker.createKey()]);
    const as = (key: string): TestRoute => ({ ...route, key });
    const answeredBy = async (key: string): Promise<string | null> => {
      const answer = await rig.ask(as(key));
      await answer.text();
      return answer.headers.get("x-flowlayer-attempt-log");
    };
    expect(await answeredBy(victim.key)).toMatch(/^vllm\/[^,]*;ok;/);
    for (const { key } of [victim, calm, victim]) {
      for (let at = 0; at < 4; at++) {
        const messages = [{ role: "user", content: `${POISON} ${at}` }];
        const poisoned = await rig.ask(route, { messages, route: { only: ["vllm"] }, ...body });
        await poisoned.text().catch(() => "");
      }
      expect(await answeredBy(key)).toMatch(/^vllm\/[^,]*;ok;/);
    }
  });
});

test("a flood of one key's failures opens the shared breaker for that key alone", async () => {
  const route = await rig.route({ providers: ["vllm", "groq"], policy: { retry: { same_target: 0 } } });
  rig.upstream.script((call) => (call.body.includes(POISON) ? { status: 500, json: {} } : { json: completion() }));
  const flood = Array.from({ length: 30 }, async (_, at) => {
    const messages = [{ role: "user", content: `${POISON} ${at}` }];
    await (await rig.ask(route, { messages, route: { only: ["vllm"] } })).text();
  });
  await Promise.all(flood);
  const { CONFIG } = rig.worker.bindings();
  const target = `vllm/${route.models[0]}`;
  const published = async () => await CONFIG.get<Record<string, Record<string, unknown>>>("health", "json");
  await expect
    .poll(async () => (await published())?.["open_for"], { timeout: 5_000 })
    .toMatchObject({ [target]: route.keyId });
  const ask = async (key: string): Promise<string> => {
    const answer = await rig.ask({ ...route, key });
    await answer.text();
    return answer.headers.get("x-flowlayer-attempt-log") ?? "";
  };
  const other = await rig.worker.createKey();
  expect(await ask(other.key)).toMatch(/^vllm\/[^,]*;ok;/);
  expect(await ask(route.key)).toMatch(/^groq\//);
});

describe("a large event of a stream", () => {
  const picture = `data:image/png;base64,${"iVBORw0KGgo".repeat(140_000)}`;
  const delta = { images: [{ type: "image_url", image_url: { url: picture } }] };
  const withPicture = (): Script => {
    const [role = "", ...rest] = chunks("Here it is.");
    return { events: [role, { id: "c", choices: [{ index: 0, delta, finish_reason: null }] }, ...rest] };
  };

  test.each([
    { name: "a router that reads it", provider: "openrouter", more: {} },
    {
      name: "a router that is asked for usage",
      provider: "openrouter",
      more: { stream_options: { include_usage: true } },
    },
    { name: "a provider whose bytes pass", provider: "openai", more: { stream_options: { include_usage: true } } },
  ])("of 1.5 MB arrives whole through $name", async ({ provider, more }) => {
    const route = await rig.route({ providers: [provider] });
    rig.upstream.script(withPicture());
    const response = await rig.ask(route, { stream: true, ...more });
    const text = await response.text();
    expect(text).toContain(picture);
    expect(collect(text)).toMatchObject({ text: "Here it is.", isDone: true, error: null });
  });
});

describe("an error that a provider sends in the middle of its stream", () => {
  const WORDS = [
    `Incorrect API key provided: ${CANARY_SECRET}`,
    `key ${CANARY_SECRET.slice(0, 9)}\u200b${CANARY_SECRET.slice(9)} is not valid`,
    `key ${[...CANARY_SECRET].join("\u00ad")} is not valid`,
    `key ${CANARY_SECRET.slice(0, 12)}\u2060\ufe0f${CANARY_SECRET.slice(12)}`,
    `Authorization: Bearer ${CANARY_SECRET} at https://user:${CANARY_SECRET}@10.0.0.7:8443/v1`,
  ];
  const WAYS = [
    { name: "usage is not asked for", provider: "openai", policy: {}, more: {} },
    {
      name: "a gate applies",
      provider: "openai",
      policy: { tools: { require_approval: true } },
      more: { stream_options: { include_usage: true } },
    },
    {
      name: "the provider is not known to be clean",
      provider: "vllm",
      policy: {},
      more: { stream_options: { include_usage: true } },
    },
    {
      name: "it is to go on elsewhere",
      provider: "openai",
      policy: { stream_recovery: "resume" },
      more: { stream_options: { include_usage: true } },
    },
  ];
  const visible = (text: string): string => text.replace(/[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, "");

  test.each(WAYS.flatMap((way) => WORDS.map((words, at) => ({ ...way, words, at }))))(
    "is redacted where $name, spelling $at",
    async ({ provider, policy, more, words }) => {
      const route = await rig.route({ providers: [provider], policy });
      const [role = "", first = ""] = chunks("Hm.");
      rig.upstream.script({ events: [role, first, { error: { message: words, type: "invalid_request_error" } }] });
      const text = await (await rig.ask(route, { stream: true, ...more })).text().catch(() => "");
      const response = await rig.ask(route, { stream: true, ...more });
      const reader = response.body!.getReader();
      let seen = text;
      const decoder = new TextDecoder();
      for (;;) {
        const read = await reader.read().catch(() => null);
        if (read === null || read.done) break;
        seen += decoder.decode(read.value, { stream: true });
      }
      expect(seen).toContain("Hm.");
      const decoded = visible(seen).replaceAll(/\\u([0-9a-f]{4})/g, (_, hex: string) =>
        visible(String.fromCharCode(Number.parseInt(hex, 16))),
      );
      expect(decoded).not.toContain(CANARY_SECRET.slice(0, 20));
      expect(rig.worker.logs()).not.toContain(CANARY_SECRET);
    },
  );

  test.each(WORDS.map((words, at) => ({ words, at })))(
    "is redacted as an error of its own too, spelling $at",
    async ({ words }) => {
      const route = await rig.route({ providers: ["openai"] });
      rig.upstream.script({
        status: 400,
        json: { error: { message: words, type: "invalid_request_error", param: words } },
      });
      const response = await rig.ask(route);
      const text = JSON.stringify(await response.json()) + JSON.stringify([...response.headers]);
      expect(visible(text)).not.toContain(CANARY_SECRET.slice(0, 20));
    },
  );
});
