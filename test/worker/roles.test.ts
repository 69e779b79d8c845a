/** Who may call what: every operation of the service with every kind of caller. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app } from "../../src/app.ts";
import { OPERATIONS, type Operation } from "../../src/openapi/operations.ts";
import {
  chat,
  EVERY_SCOPE,
  type Example,
  exampleOf,
  NAMED_OPERATIONS,
  pendingCall,
  prepare,
  send,
  type World,
} from "../support/operations.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const OPERATORS = ["operator", "reader", "decider", "releaser"] as const;
const CALLERS = [
  ...(["nobody", "owner", "elsewhere", "approver", "foreign", "revoked", "expired"] as const),
  ...OPERATORS,
] as const;
type Caller = (typeof CALLERS)[number];

let worker: TestWorker;
let world: World;
const tokens = new Map<Caller, string | null>();

beforeAll(async () => {
  const held = { reader: "read", decider: "approve", releaser: "release" } as const;
  const pairs = Object.entries(held).map(([name, role]) => {
    tokens.set(name as Caller, `${name}-token-of-more-than-32-characters`);
    return `${name}:${tokens.get(name as Caller)}:${role}`;
  });
  worker = await startWorker({ vars: { FLOW_ADMIN_TOKENS: pairs.join(" ") } });
  world = await prepare(worker);
  const made = async (spec: object): Promise<string> => (await worker.createKey(spec as Record<string, unknown>)).key;
  const revoked = await worker.createKey({ scopes: EVERY_SCOPE });
  await worker.admin(`/admin/keys/${revoked.id}`, { method: "DELETE" });
  tokens.set("nobody", null);
  // Makes the traces and tool calls that are asked for. It has the three scopes that a key has by default.
  tokens.set("owner", world.owner.key);
  // Of another environment, with every scope.
  tokens.set("elsewhere", await made({ env: "staging", scopes: EVERY_SCOPE }));
  tokens.set("approver", await made({ scopes: ["approvals:decide"] }));
  // Of the same environment, with every scope, and with nothing of its own.
  tokens.set("foreign", await made({ scopes: EVERY_SCOPE }));
  tokens.set("revoked", revoked.key);
  // A time that is over is refused: made in time, and waited out.
  const soon = new Date(Date.now() + 500).toISOString();
  const expired = await made({ scopes: EVERY_SCOPE, expires_at: soon });
  const asked = { headers: { authorization: `Bearer ${expired}` } };
  await vi.waitFor(async () => expect((await worker.fetch("/v1/models", asked)).status).toBe(401), { timeout: 5_000 });
  tokens.set("expired", expired);
  tokens.set("operator", worker.adminToken);
});
afterAll(() => worker.stop());

const tokenOf = (caller: Caller): string | null => tokens.get(caller) ?? null;

type Outcome = string;
const NOT_SERVED = "401 invalid_api_key";
const NO_SCOPE = "403 scope_required";

/** What the callers with a live key get, where it is not the same for all. `ok` is the success of the operation. */
const BY_KEY: Readonly<
  Record<string, readonly [owner: Outcome, elsewhere: Outcome, approver: Outcome, foreign: Outcome]>
> = {
  "post /v1/chat/completions": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /v1/embeddings": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /openai/deployments/{model}/embeddings": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /v1/messages": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /v1/messages/count_tokens": ["ok", "ok", NO_SCOPE, "ok"],
  "post /v1/responses": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /v1/responses/input_tokens": ["ok", "ok", NO_SCOPE, "ok"],
  // The sandbox has no API of its own for it.
  "post /v1/responses/compact": ["404 not_found", "400 unknown_route", NO_SCOPE, "404 not_found"],
  "post /openai/responses": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "post /openai/deployments/{model}/chat/completions": ["ok", "400 unknown_route", NO_SCOPE, "ok"],
  "get /v1/responses/{id}": ["ok", "404 response_not_found", NO_SCOPE, "404 response_not_found"],
  "delete /v1/responses/{id}": ["ok", "404 response_not_found", NO_SCOPE, "404 response_not_found"],
  "get /v1/responses/{id}/input_items": ["ok", "404 response_not_found", NO_SCOPE, "404 response_not_found"],
  "get /v1/key": ["ok", "ok", "ok", "ok"],
  "get /v1/models": ["ok", "ok", NO_SCOPE, "ok"],
  "get /v1/models/{id}": ["ok", "404 not_found", NO_SCOPE, "ok"],
  "get /v1/traces": ["ok", "ok", NO_SCOPE, "ok"],
  "get /v1/traces/{id}": ["ok", "404 unknown_trace", NO_SCOPE, "404 unknown_trace"],
  "get /v1/approvals": [NO_SCOPE, "ok", "ok", "ok"],
  "post /v1/approvals/{id}": [NO_SCOPE, "404 not_found", "ok", "ok"],
};
const LIVE: readonly Caller[] = ["owner", "elsewhere", "approver", "foreign"];

const NO_ROLE = "403 role_required";
/** Changes that take less than every right. Whatever is not here and changes something takes `admin`. */
const CHANGED_BY: Readonly<Record<string, readonly Caller[]>> = {
  "post /admin/approvals/{id}": ["operator", "decider"],
  "put /admin/routes/{env}/{name}": ["operator", "releaser"],
  "delete /admin/routes/{env}/{name}": ["operator", "releaser"],
  "post /admin/routes/{env}/{name}/rollback": ["operator", "releaser"],
  "post /admin/routes/{env}/{name}/explain": ["operator", "releaser"],
  "post /console/run": ["operator", "releaser"],
  "post /admin/routes/{name}/promote": ["operator", "releaser"],
  "put /admin/prices/{provider}/{model}": ["operator", "releaser"],
  "delete /admin/prices/{provider}/{model}": ["operator", "releaser"],
};
/** What only `admin` may read. */
const SHOWN_TO_ADMIN: readonly string[] = ["get /admin/export"];

function forOperators(name: string, operation: Operation, caller: Caller): Outcome {
  if (!OPERATORS.some((each) => each === caller)) return NOT_SERVED;
  if (operation.method === "get") return caller === "operator" || !SHOWN_TO_ADMIN.includes(name) ? "ok" : NO_ROLE;
  return (CHANGED_BY[name] ?? ["operator"]).includes(caller) ? "ok" : NO_ROLE;
}

function expected(name: string, operation: Operation, caller: Caller): Outcome {
  if (operation.caller === "anyone") return "ok";
  if (caller === "nobody") return "401 missing_api_key";
  if (operation.caller === "operator") return forOperators(name, operation, caller);
  const row = BY_KEY[name];
  if (row === undefined) throw new Error(`Add ${name} to BY_KEY.`);
  return row[LIVE.indexOf(caller)] ?? NOT_SERVED;
}

async function outcomeOf(response: Response, success: number): Promise<Outcome> {
  const text = await response.text();
  if (response.status === success) return "ok";
  const { error } = JSON.parse(text) as { error: { code: string } };
  return `${response.status} ${error.code}`;
}

test("the matrix covers every route that is registered", () => {
  // What only our own pages and `npm start` call is no part of the API, and has its own tests.
  const isOurs = (path: string): boolean =>
    (path.startsWith("/console") && path !== "/console/run") || path === "/admin/demo";
  const isTwice = (path: string): boolean => path.startsWith("/openai/v1/");
  const registered = app.routes.filter(({ method, path }) => method !== "ALL" && !isOurs(path) && !isTwice(path));
  // A deployment's name may have slashes, so its path is matched by hand.
  const byHand = OPERATIONS.filter(({ path }) => path.startsWith("/openai/deployments/")).length;
  expect(new Set(registered.map(({ method, path }) => `${method} ${path.replace(/(?<=.)\/$/, "")}`)).size).toBe(
    OPERATIONS.length - byHand,
  );
});

const newestChange = async (): Promise<string> => (await worker.admin("/admin/audit?limit=1")).text();

describe("each caller gets what is theirs and no more, and who may not change anything changes nothing", () => {
  test.each(NAMED_OPERATIONS)("%s", async (name, operation) => {
    const outcomes: Partial<Record<Caller, Outcome>> = {};
    const ask = async (caller: Caller, example: Example): Promise<void> => {
      outcomes[caller] = await outcomeOf(await send(world, operation, example, tokenOf(caller)), operation.success[0]);
    };
    const wanted = Object.fromEntries(CALLERS.map((each) => [each, expected(name, operation, each)]));
    const example = await exampleOf(operation, world);
    const before = await newestChange();
    for (const caller of CALLERS) if (wanted[caller] !== "ok") await ask(caller, example);
    if (operation.caller === "operator" && operation.method !== "get") expect(await newestChange()).toBe(before);
    // A refusal leaves it as it was, so the first who may still can.
    for (const [at, caller] of CALLERS.filter((each) => wanted[each] === "ok").entries()) {
      await ask(caller, at === 0 || operation.method === "get" ? example : await exampleOf(operation, world));
    }
    expect(outcomes).toEqual(wanted);
  });
});

describe("what belongs to others", () => {
  const get = async (caller: Caller, path: string): Promise<string> =>
    (await worker.fetch(path, { headers: { authorization: `Bearer ${tokenOf(caller)}` } })).text();

  test.each(["elsewhere", "foreign"] as const)("no list of a key that is %s names it", async (caller) => {
    for (const path of ["/v1/traces", "/v1/traces?route=flow/deep&limit=1000"]) {
      expect(await get(caller, path)).not.toContain(world.owner.id);
      expect(await get("owner", path)).toContain(world.owner.id);
    }
  });

  test("a key sees neither routes nor tool calls of another environment", async () => {
    const id = await pendingCall(world);
    expect(await get("approver", "/v1/approvals")).toContain(id);
    expect(JSON.parse(await get("elsewhere", "/v1/approvals"))).toMatchObject({ data: [] });
    expect(await get("foreign", "/v1/models")).toContain("flow/deep");
    expect(await get("elsewhere", "/v1/models")).not.toContain("flow/deep");
  });

  test("a key never decides its own tool call", async () => {
    const both = await worker.createKey({ scopes: EVERY_SCOPE });
    const id = await pendingCall({ ...world, owner: both });
    const path = `/v1/approvals/${id}`;
    const headers = { authorization: `Bearer ${both.key}`, "content-type": "application/json" };
    const own = await worker.fetch(path, { method: "POST", headers, body: '{"decision":"approve"}' });
    expect(await outcomeOf(own, 200)).toBe(NO_SCOPE);
  });

  test("a path that does not exist tells a stranger nothing, and a key that there is nothing", async () => {
    for (const path of ["/v1/none", "/admin/none"]) {
      expect(await outcomeOf(await worker.fetch(path), 200)).toBe("401 missing_api_key");
    }
    const headers = { authorization: `Bearer ${tokenOf("approver")}` };
    expect(await outcomeOf(await worker.fetch("/v1/none", { headers }), 200)).toBe("404 not_found");
    expect(await outcomeOf(await worker.fetch("/admin/none", { headers }), 200)).toBe(NOT_SERVED);
  });

  test("the route of one environment is none in another", async () => {
    const answer = await chat(worker, tokenOf("elsewhere") ?? "");
    expect(await outcomeOf(answer, 200)).toBe("400 unknown_route");
  });
});

describe("an operator's role", () => {
  const as = (caller: Caller, path: string, init: RequestInit = {}): Promise<Response> =>
    worker.fetch(path, { ...init, headers: { authorization: `Bearer ${tokenOf(caller)}`, ...init.headers } });

  test("says in the refusal what it takes", async () => {
    const refused = await as("reader", "/admin/routes/production/deep", { method: "DELETE" });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error: { code: "role_required", role: "release" } });
    const key = await as("releaser", `/admin/keys/${world.owner.id}`, { method: "DELETE" });
    expect(await key.json()).toMatchObject({ error: { code: "role_required", role: "admin" } });
  });

  test("shows arguments of tool calls to those who decide them, and writes down who saw them", async () => {
    const id = await pendingCall(world);
    const seen = async (caller: Caller): Promise<unknown> => {
      const list = (await (await as(caller, `/admin/approvals?status=pending&key=${world.owner.id}`)).json()) as {
        data: { tool_call_id: string; arguments: string | null }[];
      };
      return list.data.find(({ tool_call_id }) => tool_call_id === id)?.arguments;
    };
    for (const caller of ["reader", "releaser"] as const) expect(await seen(caller)).toBeNull();
    for (const caller of ["decider", "operator"] as const) expect(await seen(caller)).toEqual(expect.any(String));
    const audit = await (await as("reader", "/admin/audit?action=approval.read")).text();
    expect(audit).toContain('"actor":"decider"');
    expect(audit).toContain(id);
    expect(audit).not.toContain('"actor":"reader"');
  });
});
