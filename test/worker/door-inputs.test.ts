/**
 * Bad inputs of the Messages and the Responses door, each sent to a real Worker: refused in the door's own shape without
 * a provider call, or passed on as it came where it is the provider's to judge. The inputs themselves are in the table.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { storeResponse } from "../../src/conversation-store/client.ts";
import { ERRORS } from "../../src/http/errors.ts";
import { parseKey } from "../../src/keys/format.ts";
import { keyRecordKey } from "../../src/keys/record.ts";
import { billedWire, wireAt } from "../support/billed.ts";
import { CANARY_SECRET, type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { DOOR_INPUTS, type DoorKnown, type DoorRefusal, type DoorRow } from "./door-inputs.table.ts";

let rig: ChatRig;
const knownOf = new Map<DoorRow["door"], DoorKnown>();
let natives: Readonly<Record<DoorRow["door"], TestRoute>>;

beforeAll(async () => {
  rig = await startChatRig();
  answer();
  const route = await rig.route({ providers: ["groq"] });
  const messages = await rig.route({ providers: ["anthropic"] });
  const responses = await rig.route({ providers: ["openai"] });
  natives = { messages, responses };
  const key = await rig.worker.createKey();
  const known = await setUp(route, key);
  for (const [door, { model }] of Object.entries(natives)) {
    knownOf.set(door as DoorRow["door"], { ...known, native: model });
  }
}, 30_000);
afterAll(() => rig.stop());
beforeEach(() => {
  rig.upstream.reset();
  answer();
});

const USED = { input: 3, output: 2 };

function answer(): void {
  rig.upstream.script(({ path }) => billedWire(wireAt(path, "openai")).whole("Said.", USED));
}

type Item = { readonly id: string };

async function store(key: string, model: string, more: object = {}): Promise<{ id: string; output: readonly Item[] }> {
  const response = await rig.worker.fetch("/v1/responses", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, input: "Hi.", ...more }),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as { id: string; output: readonly Item[] };
}

async function setUp(route: TestRoute, created: { id: string; key: string }): Promise<Omit<DoorKnown, "native">> {
  const { worker } = rig;
  const [other, revoked, unknown, staging, narrow, web, reader] = await Promise.all([
    worker.createKey(),
    worker.createKey(),
    worker.createKey(),
    worker.createKey({ env: "staging" }),
    worker.createKey({ routes: ["elsewhere"] }),
    worker.createKey({ apps: ["web"] }),
    worker.createKey({ scopes: ["models", "traces:read"] }),
  ]);
  await worker.admin(`/admin/keys/${revoked.id}`, { method: "DELETE" });
  await (await worker.bindings()).CONFIG.delete(keyRecordKey(unknown.id));
  const rotated = await store(created.key, route.model);
  const rotation = await worker.admin(`/admin/keys/${created.id}/rotate`, { body: { overlap_seconds: 0 } });
  const { key } = (await rotation.json()) as { key: string };
  const [own, foreign, deleted, unstored] = await Promise.all([
    store(key, route.model),
    store(other.key, route.model),
    store(key, route.model),
    store(key, route.model, { store: false }),
  ]);
  const headers = { authorization: `Bearer ${key}` };
  await worker.fetch(`/v1/responses/${deleted.id}`, { method: "DELETE", headers });
  const expired = await expiring(created.id, key);
  return {
    ...{ key, otherKey: other.key, stagingKey: staging.key, revokedKey: revoked.key, unknownKey: unknown.key },
    ...{ narrowKey: narrow.key, webKey: web.key, readerKey: reader.key, adminToken: worker.adminToken },
    route: route.model,
    responses: {
      ...{ own: own.id, foreign: foreign.id, expired, deleted: deleted.id, rotated: rotated.id },
      unstored: unstored.id,
    },
    items: { own: idIn(own), foreign: idIn(foreign), deleted: idIn(deleted) },
  };
}

const idIn = ({ output }: { output: readonly Item[] }): string => output[0]?.id ?? "";

/** A response that was there until its time was over. */
async function expiring(keyId: string, key: string): Promise<string> {
  const parsed = parseKey(key);
  if (parsed === null) throw new Error("no key");
  const store = (await rig.worker.bindings()).CONVERSATION_STORE;
  const id = `resp_expired${keyId}`;
  const response = { id, object: "response", output: [] };
  await storeResponse(
    store,
    { keyId, secret: parsed.secret },
    { id, previousId: null, ttlMs: 1_500, input: [], response },
  );
  const read = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${key}` };
    return (await rig.worker.fetch(`/v1/responses/${id}`, { headers })).status;
  };
  expect(await read()).toBe(200);
  await vi.waitFor(async () => expect(await read()).toBe(404), { timeout: 10_000 });
  return id;
}

const PATHS = { messages: "/v1/messages", responses: "/v1/responses" } as const;

const TYPES: Readonly<Record<number, string>> = {
  ...{ 400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error" },
  ...{ 405: "invalid_request_error", 413: "request_too_large", 415: "invalid_request_error" },
};

function expectRefused(door: DoorRow["door"], answer: Response, text: string, wanted: DoorRefusal): void {
  const body = JSON.parse(text) as { type?: string; error: Record<string, unknown>; request_id?: string; flow: object };
  const { error } = body;
  const type = door === "messages" ? TYPES[wanted.status] : ERRORS[wanted.code].type;
  expect([answer.status, error["code"], error["type"]], text).toEqual([wanted.status, wanted.code, type]);
  if (wanted.param !== undefined) expect(error["param"], text).toBe(wanted.param);
  if (wanted.says !== undefined) expect(error["message"]).toMatch(wanted.says);
  expect(error["message"]).toEqual(expect.stringMatching(/^\S.{10,}$/s));
  if (wanted.allow !== undefined) expect(answer.headers.get("allow")).toBe(wanted.allow);
  const id = answer.headers.get("x-request-id");
  expect(id).toMatch(/^tr_[0-9A-Za-z]{32}$/);
  expect(body.flow).toMatchObject({ trace_id: id });
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(answer.headers.get("x-should-retry")).toBe("false");
  if (door !== "messages") return;
  expect([body.type, body.request_id, answer.headers.get("request-id")]).toEqual(["error", id, id]);
}

test.each(DOOR_INPUTS)("$name", async ({ door, send, expect: wanted, arrives = (sent) => sent }) => {
  const known = knownOf.get(door)!;
  const { method = "POST", path = PATHS[door], headers = {}, body } = send(known);
  const all = { authorization: `Bearer ${known.key}`, "content-type": "application/json", ...headers };
  const response = await rig.worker.fetch(path, {
    method,
    headers: Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
    ),
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  for (const secret of [known.key, known.otherKey, known.adminToken, CANARY_SECRET]) expect(text).not.toContain(secret);
  if (typeof wanted === "string") {
    expect(response.status, text).toBe(200);
    if (wanted === "estimated") {
      expect([response.headers.get("x-flowlayer-token-count"), rig.upstream.calls.length]).toEqual(["estimated", 0]);
      return;
    }
    expect(rig.upstream.calls).toHaveLength(1);
    const { body: sent = "", headers: sentHeaders = {} } = rig.upstream.calls[0] ?? {};
    expect(JSON.stringify(sentHeaders)).not.toMatch(/fl_production|sk-ant-/);
    if (wanted === "answered") return;
    const [model = ""] = natives[door].models;
    expect(sent).toBe(arrives(String(body).replace(JSON.stringify(known.native), JSON.stringify(model))));
    expect(response.headers.get("x-flowlayer-dropped-params")).toBeNull();
    return;
  }
  expectRefused(door, response, text, wanted);
  expect(rig.upstream.calls).toHaveLength(0);
});

/** A valid body, or one with any of its members replaced by anything. */
const json = fc.jsonValue({ maxDepth: 3 });
const mostly = <T>(usual: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 12, arbitrary: usual as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: json });
const list = (each: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  mostly(fc.array(mostly(each), { minLength: 1, maxLength: 4 }));
const words = fc.string({ minLength: 1, maxLength: 8 });
const loose = (members: Record<string, fc.Arbitrary<unknown>>, ...requiredKeys: string[]): fc.Arbitrary<unknown> =>
  fc.record(Object.fromEntries(Object.entries(members).map(([name, each]) => [name, mostly(each)])), { requiredKeys });
const block = loose(
  {
    type: fc.constantFrom("text", "tool_use", "tool_result", "image", "document", "thinking", "server_tool_use"),
    ...{ text: words, id: words, name: words, input: json, tool_use_id: words, content: words, source: json },
    ...{ is_error: fc.boolean(), cache_control: json, citations: json, thinking: words, signature: words },
  },
  "type",
);
const item = loose(
  {
    type: fc.constantFrom(
      ...["message", "function_call", "function_call_output", "reasoning", "custom_tool_call", "web_search_call"],
      ...["local_shell_call", "local_shell_call_output", "additional_tools", "shell_call", "apply_patch_call"],
    ),
    ...{ role: fc.constantFrom("user", "assistant", "system", "developer"), content: fc.oneof(words, list(block)) },
    ...{ id: words, call_id: words, name: words, namespace: words, arguments: words, input: words, output: words },
    ...{ summary: json, encrypted_content: words, action: json, tools: json, status: words },
  },
  "type",
);
const tool = loose({
  type: fc.constantFrom("function", "custom", "namespace", "web_search"),
  name: words,
  tools: json,
});
const RANDOM: Readonly<Record<DoorRow["door"], fc.Arbitrary<unknown>>> = {
  messages: loose(
    {
      max_tokens: fc.integer({ min: 1, max: 100 }),
      messages: list(
        loose({ role: fc.constantFrom("user", "assistant"), content: fc.oneof(words, list(block)) }, "role"),
      ),
      ...{ system: fc.oneof(words, list(block)), tools: fc.array(loose({ name: words, input_schema: json })) },
      ...{
        tool_choice: fc.constantFrom({ type: "auto" }, { type: "any" }),
        thinking: fc.constant({ type: "disabled" }),
      },
      ...{
        output_config: fc.constant({}),
        metadata: fc.constant({ user_id: "u" }),
        stop_sequences: fc.constant(["a"]),
      },
    },
    "max_tokens",
    "messages",
  ),
  responses: loose(
    {
      input: fc.oneof(words, list(item)),
      ...{
        instructions: words,
        tools: fc.array(tool, { maxLength: 3 }),
        tool_choice: fc.constantFrom("auto", "none"),
      },
      ...{
        text: fc.constant({ verbosity: "low" }),
        reasoning: fc.constant({ effort: "low" }),
        include: fc.constant([]),
      },
      ...{ metadata: fc.constant({ a: "b" }), store: fc.boolean(), truncation: fc.constant("auto"), user: words },
    },
    "input",
  ),
};

const EXAMPLES = {
  messages: { max_tokens: 5, messages: [{ role: "user", content: "a" }] },
  responses: { input: "a" },
};

test.each(["messages", "responses"] as const)(
  "%s: a request of any members is answered or refused, never broken",
  { timeout: 60_000 },
  async (door) => {
    const known = knownOf.get(door)!;
    const codes = new Set<number>();
    const property = fc.asyncProperty(RANDOM[door], fc.boolean(), async (fields, isNative) => {
      const before = rig.upstream.calls.length;
      const response = await rig.worker.fetch(PATHS[door], {
        method: "POST",
        headers: { authorization: `Bearer ${known.key}`, "content-type": "application/json" },
        body: JSON.stringify({ ...(fields as object), model: isNative ? known.native : known.route }),
      });
      const text = await response.text();
      codes.add(response.status);
      if (response.status === 200) return;
      const { code, message } = (JSON.parse(text) as { error: { code: string; message: string } }).error;
      expect([response.status, code, message.length > 10], text).toEqual([
        ...[response.status < 500 ? response.status : 0, expect.stringMatching(/./), true],
      ]);
      expect(rig.upstream.calls).toHaveLength(before);
    });
    // Without both kinds the property would say little.
    await fc.assert(property, { numRuns: 300, examples: [[EXAMPLES[door], false]] });
    expect([...codes]).toEqual(expect.arrayContaining([200, 400]));
  },
);

test("HEAD / needs no key", async () => {
  const response = await rig.worker.fetch("/", { method: "HEAD" });
  expect([response.status, await response.text()]).toEqual([200, ""]);
});

test("HEAD of the doors is refused without a body, HEAD of a stored response is answered without one", async () => {
  const { key, responses } = knownOf.get("responses")!;
  const headers = { authorization: `Bearer ${key}` };
  for (const [path, status] of [
    ["/v1/messages", 405],
    ["/v1/responses", 405],
    [`/v1/responses/${responses.own}`, 200],
    [`/v1/responses/${responses.own}/input_items`, 200],
  ] as const) {
    const response = await rig.worker.fetch(path, { method: "HEAD", headers });
    expect([path, response.status, await response.text()]).toEqual([path, status, ""]);
  }
});

test("no two rows are the same", () => {
  const names = DOOR_INPUTS.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

test("nothing broke inside the Worker", () => {
  expect(rig.worker.logs()).not.toMatch(/unexpected_error|uncaught/i);
});

test.each([
  ["a budget that one request is over", 402, "request_budget_exceeded", "billing_error"],
  ["a limit of requests", 429, "rate_limit_exceeded", "rate_limit_error"],
  ["a provider that is switched off", 503, "no_target_configured", "overloaded_error"],
  ["a provider that is silent", 504, "upstream_timeout", "timeout_error"],
  ["a provider that fails", 502, "upstream_failed", "api_error"],
] as const)("messages: %s has the type of its status", async (_name, status, code, type) => {
  const policy = {
    retry: { same_target: 0 },
    timeouts: { first_token_ms: 300 },
    ...(status === 402 ? { spend: { max_request_usd: 0.000_000_001 } } : {}),
  };
  const limits = status === 429 ? { limits: { requests_per_minute: 1 } } : {};
  const provider = status === 503 ? "cohere" : "groq";
  const model = status === 402 ? { targets: [{ model: "openai/gpt-oss-120b" }] } : {};
  const route = await rig.route({ providers: [provider], policy, key: limits, ...model });
  const ask = () =>
    rig.worker.fetch("/v1/messages", {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({ model: route.model, max_tokens: 50, messages: [{ role: "user", content: "Hi." }] }),
    });
  if (status === 503) {
    const body = { disabled: true, reason: "test" };
    await rig.worker.admin("/admin/providers/cohere", { method: "PATCH", body });
  }
  if (status === 429) expect((await ask()).status).toBe(200);
  if (status === 504) rig.upstream.script({ hang: true });
  if (status === 502) rig.upstream.script({ status: 500, json: { error: { message: "boom" } } });
  const response = await ask();
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(JSON.parse(text)).toMatchObject({
    ...{ type: "error", error: { type, code }, request_id: response.headers.get("request-id") },
    flow: { trace_id: response.headers.get("x-request-id") },
  });
  if (status === 429 || status === 503) expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d?$/);
});
