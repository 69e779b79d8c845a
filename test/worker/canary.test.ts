/** What is confidential stays where it belongs: canaries in every credential, prompt, call and provider's error. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Canaries, FRAGMENT } from "../support/canary.ts";
import { EVERY_SCOPE } from "../support/operations.ts";
import { chunks, completion } from "../support/upstream.ts";
import type { CreatedKey } from "../support/worker.ts";
import { type CanaryRig, startCanaryRig } from "./canary.rig.ts";
import { anthropicStream, BELONGS, brokenStream, FAILURES, REFUSAL, WHOLE } from "./canary.table.ts";

type Json = Readonly<Record<string, unknown>>;

const FAMILIES = Object.keys(WHOLE);
/** Export and trail gather first. */
const SOON = { timeout: 6_000, interval: 50 };

let rig: CanaryRig;
const plant = (kind: string): string => rig.canaries.plant(kind);
/** Looks like a key: what the scrubber is for. */
const secretOf = (kind: string): string => `sk-proj-${plant(kind)}`;
const answerText = (): string => plant("text of an answer");

const callerHeaders = (): Record<string, string> => ({
  "x-client-request-id": plant("tag and client's request id"),
  "x-unknown-id": plant("header that nobody knows"),
  cookie: `session=${plant("header that nobody knows")}`,
  tracestate: `vendor=${plant("header that nobody knows")}`,
  "x-forwarded-for": plant("header that nobody knows"),
  "user-agent": plant("header that nobody knows"),
  "x-custom": plant("header that nobody knows"),
  "x-api-key": plant("credential in a wrong place"),
  "api-key": plant("credential in a wrong place"),
  "proxy-authorization": `Basic ${plant("credential in a wrong place")}`,
});

const toolsOf = (...names: string[]): Json[] =>
  names.map((name) => ({ type: "function", function: { name, description: plant("description of a tool") } }));

const argumentsOf = (kind: string): string => JSON.stringify({ to: `"${plant(kind)}"` });

interface Turn {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}
/** The messages of an agent that comes back with the result of `turn`. */
const resultOf = (turn: Turn, kind: string): Json[] => [
  { role: "user", content: "go on" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: turn.id, type: "function", function: { name: turn.name, arguments: turn.arguments } }],
  },
  { role: "tool", tool_call_id: turn.id, content: plant(kind) },
];

function conversation(): Json {
  const earlier = { id: "call_earlier", name: "search", arguments: argumentsOf("text of a message") };
  return {
    messages: [
      { role: "system", content: plant("text of a message") },
      { role: "user", content: [{ type: "text", text: plant("text of a message") }] },
      { role: "assistant", content: plant("text of a message") },
      ...resultOf(earlier, "result of a tool"),
    ],
    tools: toolsOf("search"),
  };
}

const chat = (
  status: Parameters<CanaryRig["send"]>[0],
  key: string,
  model: string,
  body: Json = {},
  headers = {},
): Promise<string> =>
  rig.send(status, "/v1/chat/completions", key, { body: { model, ...conversation(), ...body }, headers });

async function configure(): Promise<void> {
  const acme = { protocol: "openai", base_url: `${rig.upstream.url}/acme/v1`, secret: "UPSTREAM_ACME" };
  await rig.admin("/providers/acme", acme, "PUT");
  await rig.newKey("client", { name: plant("operator's own words"), scopes: EVERY_SCOPE });
  await rig.newKey("agent");
  await rig.newKey("poor", { budget: { limit_usd: 0.000_000_1, period: "total" } });
  await rig.newKey("bound", { apps: ["console"], routes: ["canary-1"], budget: { limit_usd: 1, period: "day" } });
  await rig.newKey("approver", { scopes: ["approvals:decide"] });
  const { id: revoked } = await rig.newKey("revoked");
  await rig.admin(`/keys/${revoked}`, undefined, "DELETE", 204);
  const { id } = await rig.newKey("rotated");
  const rotation = JSON.parse(await rig.admin(`/keys/${id}/rotate`, { overlap_seconds: 0 })) as CreatedKey;
  rig.watchKey(rotation.key);
  await rig.send(200, "/admin/audit", rig.secondOperator);
  const words = { description: plant("operator's own words") };
  await rig.newRoute(["openai"], [{ json: completion({ text: answerText() }) }], words);
  const reason = plant("operator's own words");
  await rig.admin("/routes/canary-1/promote", { from: "production", to: "staging", force: true, reason });
  rig.collector.script([{ status: 400, body: plant("failure of a vendor or collector") }, { json: {} }]);
}

/** Answers of every family, whole and streamed, and a fallback. */
async function succeed(): Promise<void> {
  for (const family of FAMILIES) {
    const model = await rig.newRoute([family], [{ json: WHOLE[family]?.(answerText()) }]);
    await chat(200, rig.keyOf("client"), model, { user: plant("user and metadata") }, callerHeaders());
  }
  const tags = { note: plant("tag and client's request id") };
  const body = { stream: true, metadata: { note: plant("user and metadata") }, route: { tags } };
  const usage = { stream_options: { include_usage: true } };
  const free = {
    id: "call_1",
    name: plant("name of a called tool"),
    arguments: argumentsOf("arguments of a free call"),
  };
  const stream = { events: chunks(answerText(), { toolCalls: [free] }) };
  for (const more of [{}, usage])
    await chat(200, rig.keyOf("client"), await rig.newRoute(["openai"], [stream]), { ...body, ...more });
  await chat(200, rig.keyOf("client"), await rig.newRoute(["openai"], [{ json: completion({ toolCalls: [free] }) }]));
  await chat(200, rig.keyOf("client"), await rig.newRoute(["anthropic"], [anthropicStream(answerText())]), body);
  const failures = FAILURES.slice(0, 3).map((make) => make(plant("failure of a vendor or collector")));
  const providers = ["openai", "anthropic", "google", "acme"];
  await chat(
    200,
    rig.keyOf("client"),
    await rig.newRoute(providers, [...failures, { json: completion({ text: answerText() }) }]),
  );
}

/** Every way a provider fails or refuses, with its own words and with what it knows of us. */
async function fail(): Promise<void> {
  const make = FAILURES.map((failure) => failure(plant("failure of a vendor or collector")));
  const providers = FAILURES.map((_, index) => ["openai", "acme"][index % 2] ?? "");
  const policy = { fallback: { max_attempts: 16 } };
  await chat(502, rig.keyOf("client"), await rig.newRoute(providers, make, policy));
  for (const family of FAMILIES) {
    const words = [plant("vendor's words on a refused request"), secretOf("secret in the vendor's words")];
    const message = `Bad: ${words.join(" ")} ${rig.vendorSecrets.get(family)}.`;
    const refusal = REFUSAL[family]?.(message, plant("other members of a vendor's error")) ?? {};
    await chat(400, rig.keyOf("client"), await rig.newRoute([family], [refusal]));
  }
  const read = (): string => plant("error in a stream that the router reads");
  const moved = (): string => plant("error in a stream that moves natively");
  const body = { stream: true };
  for (const family of ["openai", "anthropic"]) {
    await chat(502, rig.keyOf("client"), await rig.newRoute([family], [brokenStream(family, null, read)]), body);
    await chat(
      200,
      rig.keyOf("client"),
      await rig.newRoute([family], [brokenStream(family, answerText(), read)]),
      body,
    );
  }
  const native = await rig.newRoute(["openai"], [brokenStream("openai", answerText(), moved)]);
  await chat(200, rig.keyOf("client"), native, { ...body, stream_options: { include_usage: true } });
}

interface Held {
  readonly flow: { readonly trace_id: string };
}

const GATE = { require_approval: true, wait_ms: 0, deny: ["forbidden"] };
const callOf = (id: string, kind: string, name = plant("name of a called tool")): Turn => ({
  ...{ id, name, arguments: argumentsOf(kind) },
});
const stepOf = (call: Turn): Json => ({ messages: [{ role: "user", content: "pay" }], tools: toolsOf(call.name) });

/** A streamed call under a gate; `delivery` and others of `rules` say what becomes of it. */
async function gatedStream(call: Turn, rules: Json): Promise<string> {
  // Beside calls that are not kept for later, text is an answer's like any other.
  const text = rules["delivery"] === "mark" ? answerText() : plant("text beside held calls");
  const script = { events: chunks(text, { toolCalls: [call] }) };
  const route = await rig.newRoute(["openai"], [script], { tools: { ...GATE, ...rules } });
  return chat(200, rig.keyOf("agent"), route, { ...stepOf(call), stream: true });
}

async function decide(status: number, id: string, decision: string): Promise<void> {
  const seen = async (): Promise<void> =>
    expect(await rig.send(200, "/v1/approvals", rig.keyOf("approver"))).toContain(id);
  await vi.waitFor(seen, SOON);
  const body = { decision, reason: plant("reason of a decision") };
  await rig.send(status, `/v1/approvals/${id}`, rig.keyOf("approver"), { body });
}

/** Tool calls that are held, marked, approved, denied and never decided, and agents that come back with results. */
async function approve(): Promise<void> {
  const agent = rig.keyOf("agent");
  const pay = callOf("call_pay", "arguments of an approved call");
  const ruled = callOf("call_ruled", "arguments of a denied call", "forbidden");
  const first = completion({ text: plant("text beside held calls"), toolCalls: [pay, ruled] });
  const gated = await rig.newRoute(["openai"], [{ json: first }], { tools: GATE });
  const step = stepOf(pay);
  const held = JSON.parse(await chat(200, agent, gated, step)) as Held;
  const drop = callOf("call_drop", "arguments of a denied call");
  await gatedStream(drop, {});
  await gatedStream(callOf("call_never", "arguments of a pending call"), {});
  await gatedStream(callOf("call_mark", "arguments of a marked call"), { delivery: "mark" });
  const waiting = gatedStream(callOf("call_wait", "arguments of an approved call"), { wait_ms: 15_000 });
  await Promise.all([waiting, decide(200, "call_wait", "approve")]);
  const back = async (status: number, call: Turn, kind: string): Promise<void> => {
    await chat(status, agent, gated, { messages: resultOf(call, kind) });
  };
  await back(403, pay, "result that is not admitted");
  await rig.admin("/approvals?status=pending");
  await decide(200, pay.id, "approve");
  await decide(409, pay.id, "deny");
  await rig.admin(`/approvals/${drop.id}`, { decision: "deny", reason: plant("reason of a decision") });
  await chat(200, agent, gated, { ...step, route: { resume: held.flow.trace_id } });
  await back(200, pay, "result of a tool");
  await back(403, drop, "result that is not admitted");
  const altered = { ...pay, arguments: argumentsOf("arguments that were altered") };
  await back(403, altered, "result that is not admitted");
}

/** Those who may not come in, and what they bring along. */
async function intrude(): Promise<void> {
  const stranger = (): string => plant("credential of a stranger");
  const forged = rig.keyOf("client").slice(0, -8) + stranger().slice(-8);
  const tokens = [stranger(), `sk-proj-${stranger()}`, `fl_production_${stranger()}`, forged, rig.keyOf("revoked")];
  for (const token of [...tokens, rig.keyOf("rotated"), rig.worker.adminToken]) {
    await chat(401, token, "flow/canary-1");
    await rig.send(401, "/v1/traces", token);
  }
  for (const token of [...tokens, rig.keyOf("client")]) await rig.send(401, "/admin/keys", token);
  const misplaced = (): string => plant("credential in a wrong place");
  for (const header of ["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"]) {
    await rig.send(401, "/v1/models", null, { headers: { [header]: `Basic ${misplaced()}` } });
    await rig.send(401, "/admin/keys", null, { headers: { [header]: `Basic ${misplaced()}` } });
  }
  await rig.send(401, `/v1/models?key=${misplaced()}&api_key=${misplaced()}`, null);
  await rig.send(200, `/v1/models?key=${misplaced()}`, rig.keyOf("client"));
  await rig.send(404, `/health/${misplaced()}`, null);
  await rig.send(400, "/admin/providers/pasted", rig.worker.adminToken, {
    ...{ method: "PUT", body: { protocol: "openai", base_url: "https://a.example.com", secret: pasted() } },
  });
  for (const address of [`https://me:${pasted()}@a.example.com`, `https://a.example.com/?key=${pasted()}`]) {
    await rig.admin("/providers/pasted", { protocol: "openai", base_url: address }, "PUT", 400);
  }
}
const pasted = (): string => secretOf("secret pasted for its name");

const bad = (): string => plant("bad value in a request");
const badName = (): string => plant("name of an unknown member");

/** Chat requests that are refused, at every stage and for every reason that is cheap. */
async function misuseChat(): Promise<void> {
  const key = rig.keyOf("client");
  const known = "flow/canary-1";
  for (const body of [`{"model": "${bad()}`, `"${bad()}"`, `{"model": "${known}", "messages": "${bad()}"}`]) {
    await rig.send(400, "/v1/chat/completions", key, { body });
  }
  await rig.send(415, "/v1/chat/completions", key, { body: bad(), headers: { "content-type": `text/${bad()}` } });
  const unknown = `flow/${plant("name of an unknown route")}`;
  for (const model of [unknown, `sk-proj-${bad()}`, `openai-${bad()}/sk-${bad()}`]) await chat(400, key, model);
  const fields = ["stream", "stream_options", "n", "max_tokens", "tools", "messages", "route"];
  for (const field of fields) await chat(400, key, known, { [field]: bad() });
  const routes = [
    { only: [bad()] },
    { resume: bad() },
    { tags: { [badName().repeat(9)]: bad() } },
    { [badName()]: bad() },
  ];
  for (const route of routes) await chat(400, key, known, { route });
  for (const [status, header, value] of [
    [403, "x-flowlayer-env", bad()],
    [403, "origin", `https://${bad()}.example`],
    [400, "x-flowlayer-fallback", bad()],
    [400, "x-flowlayer-latency-budget-ms", bad()],
    [400, "x-flowlayer-app", bad().repeat(1_000)],
  ] as const) {
    await chat(status, key, known, {}, { [header]: value });
  }
  await chat(403, rig.keyOf("bound"), known, {}, { "x-flowlayer-app": bad() });
  await chat(403, rig.keyOf("bound"), "flow/canary-2");
  await chat(403, rig.keyOf("approver"), known);
  await chat(402, rig.keyOf("poor"), known);
}

/** The same for everything else. */
async function misuse(): Promise<void> {
  const key = rig.keyOf("client");
  for (const path of ["", "/models", "/traces"]) await rig.send(404, `/v1${path}/${bad()}`, key);
  for (const name of ["limit", "cursor", "since", "status"]) {
    await rig.send(400, `/v1/traces?${name}=${bad()}`, key);
    await rig.admin(`/traces?${name}=${bad()}`, undefined, "GET", 400);
  }
  await rig.send(400, `/v1/approvals?status=${bad()}`, rig.keyOf("approver"));
  await rig.send(404, `/v1/approvals/${bad()}`, rig.keyOf("approver"), { body: { decision: "deny", reason: bad() } });
  await rig.admin("/keys", { name: "x", env: `No ${bad()}`, scopes: [bad()] }, "POST", 400);
  await rig.admin("/keys", { [badName()]: bad() }, "POST", 400);
  await rig.admin("/routes/production/bad", { targets: [{ provider: bad(), model: bad() }] }, "PUT", 400);
  await rig.admin("/routes/production/canary-1/rollback", `{"version": "${bad()}`, "POST", 400);
  await rig.admin(`/keys/${bad()}`, undefined, "GET", 404);
  await rig.admin(`/approvals/${bad()}`, { decision: bad() }, "POST", 400);
}

/** Everything that can be read, by all who may read it. */
async function read(): Promise<void> {
  const traceId = JSON.parse(await chat(200, rig.keyOf("client"), "flow/canary-1")).flow.trace_id as string;
  await vi.waitFor(async () => expect((await rig.worker.admin(`/admin/traces/${traceId}`)).status).toBe(200), SOON);
  await vi.waitFor(() => expect(rig.collector.calls.map(({ body }) => body).join()).toContain(traceId), SOON);
  // The trail is a few seconds behind the ledgers: looked at too early it would hold too little.
  const sizeOf = async (response: Promise<Response>): Promise<number> =>
    ((await (await response).json()) as { data: unknown[] }).data.length;
  const asClient = { headers: { authorization: `Bearer ${rig.keyOf("client")}` } };
  const all = await sizeOf(rig.worker.fetch("/v1/traces?limit=1000", asClient));
  const keyId = /^fl_[a-z0-9-]+_([0-9A-Za-z]{12})_/.exec(rig.keyOf("client"))?.[1];
  const listed = (): Promise<number> => sizeOf(rig.worker.admin(`/admin/traces?limit=1000&key=${keyId}`));
  await vi.waitFor(async () => expect(await listed()).toBeGreaterThanOrEqual(all), SOON);
  const traces = `/traces/${traceId}`;
  for (const path of ["/traces?limit=1000", traces, "/models"]) await rig.send(200, `/v1${path}`, rig.keyOf("client"));
  await rig.send(200, "/v1/traces", rig.keyOf("agent"));
  for (const path of [
    ...["/traces?limit=1000", traces, "/audit?limit=1000", "/approvals", "/keys", "/routes", "/providers?limit=1000"],
    ...["/spend?group_by=key", "/spend?group_by=model", "/routes/production/canary-1", "/keys"],
    ...["/routes/production/canary-1/versions", "/routes/production/canary-1/evidence"],
  ]) {
    await rig.admin(path);
  }
}

/** Whatever breaks inside, its text is told to nobody. */
async function breakDown(): Promise<void> {
  const fresh = await rig.newKey("fresh");
  await rig.fault(plant("fault of our own"));
  const isFailure = (status: number): boolean => status >= 500;
  // Nobody has read this key yet, so each of these fails at its first step, and those of the others further on.
  await chat(503, fresh.key, "flow/canary-1");
  for (const path of ["/models", "/traces", "/approvals"]) await rig.send(503, `/v1${path}`, fresh.key);
  const deeper = (status: number): boolean => status === 200 || isFailure(status);
  for (const name of ["client", "agent"]) {
    await chat(deeper, rig.keyOf(name), "flow/canary-1", { stream: true });
    for (const path of ["/models", "/traces"]) await rig.send(deeper, `/v1${path}`, rig.keyOf(name));
  }
  await rig.send(isFailure, "/v1/approvals", rig.keyOf("approver"));
  await chat(isFailure, rig.keyOf("bound"), "flow/canary-1");
  for (const path of ["/keys", "/routes", "/traces", "/spend?group_by=key", "/providers", "/approvals", "/audit"]) {
    await rig.send(isFailure, `/admin${path}`, rig.worker.adminToken);
  }
  const key = { name: "x", env: "production" };
  await rig.send(isFailure, "/admin/keys", rig.worker.adminToken, { body: key });
  await rig.fault("");
}

beforeAll(async () => {
  rig = await startCanaryRig();
  const drives = [configure, succeed, fail, approve, intrude, misuseChat, misuse, read, breakDown];
  for (const drive of drives) await drive();
  await rig.scan();
}, 60_000);
afterAll(() => rig.stop());

describe("canaries are where they belong and nowhere else", () => {
  test.each(Object.entries(BELONGS))("%s", (kind, places) => {
    expect(rig.canaries.foundIn(kind)).toEqual(places.toSorted());
  });

  test("every kind has its row", () => {
    expect(rig.canaries.kinds()).toEqual(Object.keys(BELONGS).toSorted());
  });

  test("no piece of one lies anywhere", () => {
    // Pages of a database cut what they store.
    const places = rig.canaries.foundIn(FRAGMENT).filter((place) => !place.startsWith("disk "));
    expect(places).toEqual([]);
  });
});

describe("no spelling hides a canary", () => {
  const SPELLINGS: Readonly<Record<string, (text: string) => string | Uint8Array>> = {
    "as it is": (text) => text,
    JSON: (text) => JSON.stringify(JSON.stringify({ text: `"${text}"` })),
    "of a URL": (text) => encodeURIComponent(`/"${text}"?`),
    capitals: (text) => text.toUpperCase(),
    hex: (text) => Buffer.from(text).toString("hex"),
    base64: (text) => Buffer.from(text).toString("base64"),
    "base64, one byte further": (text) => Buffer.from(`x${text}`).toString("base64url"),
    "base64, two bytes further": (text) => Buffer.from(`xy${text} and more`).toString("base64"),
    "UTF-16": (text) => Buffer.from(`ü${text}`, "utf16le"),
  };

  test.each(Object.entries(SPELLINGS))("%s", (_, spell) => {
    const canaries = new Canaries();
    const [first, second] = [canaries.plant("first"), canaries.plant("second")];
    canaries.watch("issued", "aB3dE6gH9jK2mN5pQ8sT");
    canaries.scan("one place", spell(`${first} -- aB3dE6gH9jK2mN5pQ8sT`));
    canaries.scan("another", spell(second));
    const found = ["first", "second", "issued"].map((kind) => canaries.foundIn(kind));
    expect(found).toEqual([["one place"], ["another"], ["one place"]]);
  });
});
