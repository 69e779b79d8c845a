/** Lists of traces, an operator's and a key's own: every filter, counts per value, tables, and any id that was handed out. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Trace } from "../../src/traces/schema.ts";
import { type ChatRig, startChatRig, type TestRoute, vendorError } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
let route: TestRoute;
let all: Trace[];

interface List {
  readonly data: Trace[];
  readonly facets?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly next_cursor: string | null;
}

const admin = (query: string): Promise<Response> => rig.worker.admin(`/admin/traces?key=${route.keyId}&${query}`);
const own = (query: string): Promise<Response> =>
  rig.worker.fetch(`/v1/traces?${query}`, { headers: rig.headers(route) });
const LISTS = [
  ["an operator's list", admin],
  ["a key's own list", own],
] as const;

async function send(body: object, headers: Record<string, string> = {}): Promise<void> {
  await (await rig.ask(route, body, { headers })).text();
}

beforeAll(async () => {
  rig = await startChatRig();
  route = await rig.route({ policy: { retry: { same_target: 0 } } });
  const [first = "", second = ""] = route.models;
  rig.upstream.scriptFor(first, [
    { json: { ...completion({ text: "one" }), id: "chatcmpl-theirs1" } },
    vendorError(500),
    { json: completion({ text: "three" }), headMs: 300 },
    vendorError(401),
  ]);
  rig.upstream.scriptFor(second, [{ json: completion({ text: "two" }) }, vendorError(401)]);
  await send({ route: { tags: { team: "search", "odd:name": "=1+1" } } }, { "x-session-id": "s-1" });
  await send({}, { "x-client-request-id": "mine-7", "x-flowlayer-tags": "team=ads" });
  const message = { model: route.model, max_tokens: 5, messages: [{ role: "user", content: "hi" }] };
  await rig.worker.fetch("/v1/messages", {
    method: "POST",
    headers: rig.headers(route),
    body: JSON.stringify(message),
  });
  await send({});
  await send({ max_tokens: -1 });
  const size = async (list: Promise<Response>): Promise<number> => ((await (await list).json()) as List).data.length;
  await vi.waitFor(async () => expect(await size(own(""))).toBe(5), { timeout: 5_000 });
  await vi.waitFor(async () => expect(await size(admin(""))).toBe(5), { timeout: 8_000 });
  all = ((await (await admin("")).json()) as List).data;
});
afterAll(() => rig.stop());

type Filter = readonly [query: string, is: (trace: Trace) => boolean, count: number];
const FILTERS: readonly Filter[] = [
  ["api=messages", ({ api }) => api === "messages", 1],
  ["error_code=upstream_failed", ({ error_code }) => error_code === "upstream_failed", 1],
  ["fallback=true", ({ fallback }) => fallback, 2],
  ["fallback=false", ({ fallback }) => !fallback, 3],
  ["tag=team:search", ({ tags }) => tags["team"] === "search", 1],
  ["session=s-1", ({ session_id }) => session_id === "s-1", 1],
  ["client_request_id=mine-7", ({ client_request_id }) => client_request_id === "mine-7", 1],
  ["min_total_ms=300", ({ latency }) => latency.total_ms >= 300, 1],
  ["min_cost_usd=0.000000001", ({ cost_usd }) => (cost_usd ?? 0) > 0, 0],
  ["status=refused", ({ status }) => status === "refused", 1],
  ["tag=team:ads&fallback=true", ({ tags }) => tags["team"] === "ads", 1],
];

describe.each(LISTS)("%s", (_, list) => {
  test.each(FILTERS)("?%s", async (query, is, count) => {
    const { data } = (await (await list(query)).json()) as List;
    const wanted = all.filter(is).map(({ id }) => id);
    expect(data.map(({ id }) => id)).toEqual(wanted);
    if (query !== "min_total_ms=300") expect(wanted).toHaveLength(count);
  });

  test("?model= finds what that model answered", async () => {
    const { data } = (await (await list(`model=${route.models[1]}`)).json()) as List;
    expect(data.map(({ model }) => model)).toEqual([route.models[1]]);
  });

  test("facets count every value of all that is found, beyond the page", async () => {
    const { data, facets, next_cursor } = (await (await list("facets=true&limit=1")).json()) as List;
    expect(data).toHaveLength(1);
    expect(next_cursor).not.toBeNull();
    expect(facets).toMatchObject({
      status: { ok: 3, error: 1, refused: 1 },
      api: { chat: 4, messages: 1 },
      fallback: { false: 3, true: 2 },
      provider: { openai: 2, groq: 1, "": 2 },
      error_code: { "": 3, upstream_failed: 1, invalid_request: 1 },
    });
    const filtered = (await (await list("facets=true&fallback=true")).json()) as List;
    expect(filtered.facets?.["status"]).toEqual({ ok: 1, error: 1 });
  });

  test("format=csv is the same list as a table that no spreadsheet runs", async () => {
    const response = await list("format=csv&limit=1000");
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    const lines = (await response.text()).trimEnd().split("\r\n");
    expect(lines).toHaveLength(6);
    expect(lines[0]).toMatch(/^id,created_at,api,key_id,/);
    expect(lines.slice(1).map((line) => line.split(",")[0])).toEqual(all.map(({ id }) => id));
    expect(lines.find((line) => line.includes("odd:name"))).toMatch(/team=search;odd:name==1\+1$/);
    expect((await list("format=csv&limit=2")).headers.get("x-flowlayer-next-cursor")).toMatch(/./);
  });

  test.each([
    ["api=fax", "api"],
    ["fallback=maybe", "fallback"],
    ["tag=team", "tag"],
    ["min_cost_usd=-1", "min_cost_usd"],
    ["min_total_ms=soon", "min_total_ms"],
    ["error_code=No", "error_code"],
    ["format=xml", "format"],
    ["facets=2", "facets"],
  ])("?%s is refused by its name", async (query, param) => {
    const response = await list(query);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_request", param } });
  });
});

describe("GET /admin/traces/{id} takes any id that was handed out", () => {
  const idOf = async (id: string): Promise<string> => {
    const response = await rig.worker.admin(`/admin/traces/${encodeURIComponent(id)}`);
    return ((await response.json()) as Trace).id;
  };
  const ask = async (path: string, body: object) => {
    const init = { method: "POST", headers: rig.headers(route), body: JSON.stringify({ model: "flow/ids", ...body }) };
    const response = await rig.worker.fetch(path, init);
    return {
      trace: response.headers.get("x-request-id") ?? "",
      answer: (await response.json()) as Record<string, never>,
    };
  };
  const sandbox = { targets: [{ provider: "sandbox", model: "deep-1" }], tools: { wait_ms: 0 } };

  test("the provider's own id of an answer", async () => {
    expect(await idOf("chatcmpl-theirs1")).toBe(all.at(-1)?.id);
  });

  test("ids of responses, their items and messages, and of tool calls that wait", async () => {
    await rig.worker.putRoute("production", "ids", sandbox);
    const response = await ask("/v1/responses", { input: "hi" });
    const tools = [{ type: "function", function: { name: "pay" } }];
    const messages = [{ role: "user", content: "hi" }];
    const held = await ask("/v1/chat/completions", { messages, tools, route: { require_tool_approval: true } });
    const callId = /"ids":\["([^"]+)"/.exec(JSON.stringify(held.answer))?.[1] ?? "";
    const { id, output } = response.answer as unknown as { id: string; output: { id: string }[] };
    await vi.waitFor(async () => expect(await idOf(response.trace)).toBe(response.trace), { timeout: 5_000 });
    expect(await idOf(id)).toBe(response.trace);
    expect(await idOf(output[0]?.id ?? "")).toBe(response.trace);
    await vi.waitFor(async () => expect(await idOf(callId)).toBe(held.trace), { timeout: 5_000 });
  });

  test("an id that nobody knows is a 404", async () => {
    const response = await rig.worker.admin("/admin/traces/chatcmpl-unknown");
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: "unknown_trace" } });
  });
});
