/** One good request for every operation of the document, against objects made for it. */
import { randomBytes } from "node:crypto";
import { OPERATIONS, type Operation } from "../../src/openapi/operations.ts";
import type { CreatedKey, TestWorker } from "./worker.ts";

export interface Example {
  readonly path: string;
  readonly body?: unknown;
}

export const EVERY_SCOPE = ["chat", "models", "traces:read", "raw_models", "approvals:decide"];
/** Nothing is waited for: a held tool call is pending at once. */
export const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }], tools: { wait_ms: 0 } };
const unique = (): string => `x${randomBytes(5).toString("hex")}`;
const MESSAGES = [{ role: "user", content: "hi" }];

/** A worker with the route `flow/deep` in production, and a key whose requests and tool calls are asked for. */
export interface World {
  readonly worker: TestWorker;
  readonly owner: CreatedKey;
  /** A settled trace of the owner. */
  readonly traceId: string;
}

export const chat = (worker: TestWorker, key: string, body: object = {}): Promise<Response> =>
  worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/deep", messages: MESSAGES, ...body }),
  });

export async function prepare(worker: TestWorker): Promise<World> {
  await worker.putRoute("production", "deep", POLICY);
  const targets = [{ provider: "sandbox", model: "vectors" }];
  await worker.putRoute("production", "vectors", { targets, embedding: { space: "vectors" } });
  const owner = await worker.createKey();
  const answer = await chat(worker, owner.key);
  await answer.text();
  const traceId = answer.headers.get("x-request-id") ?? "";
  const headers = { authorization: `Bearer ${owner.key}` };
  for (const giveUpAt = Date.now() + 3_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const found = await worker.fetch(`/v1/traces/${traceId}`, { headers });
    await found.text();
    if (found.status === 200 || Date.now() > giveUpAt) return { worker, owner, traceId };
  }
}

/** Of an app that makes no requests. */
const BUDGET = { scope: { app: "nobody" }, limit_usd: 1, period: "month" };

async function newBudget({ worker }: World): Promise<Example> {
  const path = `/admin/budgets/${unique()}`;
  await worker.admin(path, { method: "PUT", body: BUDGET });
  return { path };
}

/** A new tool call of the owner that waits for a decision, and that those who decide can see. */
export async function pendingCall({ worker, owner }: World): Promise<string> {
  const tools = [{ type: "function", function: { name: "pay" } }];
  // The sandbox numbers its calls by what it was asked: the same question has the same call.
  const messages = [{ role: "user", content: unique() }];
  const answer = await chat(worker, owner.key, { messages, tools, route: { require_tool_approval: true } });
  const text = await answer.text();
  const id = /"ids":\["([^"]+)"/.exec(text)?.[1];
  if (id === undefined) throw new Error(`No tool call is pending: ${text}`);
  for (const giveUpAt = Date.now() + 3_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const list = await worker.admin(`/admin/approvals?status=pending&key=${owner.id}`);
    if ((await list.text()).includes(id) || Date.now() > giveUpAt) return id;
  }
}

async function newRoute({ worker }: World): Promise<string> {
  const name = unique();
  await worker.putRoute("production", name, POLICY);
  return name;
}

const newKey = async ({ worker }: World): Promise<string> => (await worker.createKey()).id;

type Make = (world: World) => Example | Promise<Example>;

const ofKey =
  (suffix: string, body?: unknown): Make =>
  async (world) => ({ path: `/admin/keys/${await newKey(world)}${suffix}`, ...(body === undefined ? {} : { body }) });
const ofRoute =
  (suffix: string, body?: unknown): Make =>
  async (world) => ({
    path: `/admin/routes/production/${await newRoute(world)}${suffix}`,
    ...(body === undefined ? {} : { body }),
  });
const decide =
  (prefix: string): Make =>
  async (world) => ({ path: `${prefix}/${await pendingCall(world)}`, body: { decision: "approve" } });

/** A response that its key keeps. */
const storedAt =
  (below: string): Make =>
  async ({ worker, owner }) => {
    const answer = await worker.fetch("/v1/responses", {
      method: "POST",
      headers: { authorization: `Bearer ${owner.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "flow/deep", input: "Hello." }),
    });
    const { id } = (await answer.json()) as { id: string };
    return { path: `/v1/responses/${id}${below}` };
  };

/** Nothing listens there. */
const WEBHOOK = { url: "http://127.0.0.1:9/hook", events: ["route.promoted"] };

/** A deployment has 50 at most, so that each call but the deletion is about the same one. */
const webhookAt =
  (below: string): Make =>
  async ({ worker }) => {
    const path = "/admin/webhooks/asked";
    await (await worker.admin(path, { method: "PUT", body: WEBHOOK })).text();
    return { path: path + below };
  };

/** What a path alone does not say. All others are asked for as they are. */
const MADE: Readonly<Record<string, Make>> = {
  "post /docs/run": () => ({ path: "/docs/run", body: { request: { model: "flow/deep", messages: MESSAGES } } }),
  "post /console/run": () => ({ path: "/console/run", body: { request: { model: "flow/deep", messages: MESSAGES } } }),
  "post /v1/chat/completions": () => ({
    path: "/v1/chat/completions",
    body: { model: "flow/deep", messages: MESSAGES },
  }),
  "post /v1/embeddings": () => ({ path: "/v1/embeddings", body: { model: "flow/vectors", input: "Hello." } }),
  "post /v1/messages": () => ({
    path: "/v1/messages",
    body: { model: "flow/deep", max_tokens: 100, messages: MESSAGES },
  }),
  "post /v1/messages/count_tokens": () => ({
    path: "/v1/messages/count_tokens",
    body: { model: "flow/deep", messages: MESSAGES },
  }),
  "post /v1/responses": () => ({ path: "/v1/responses", body: { model: "flow/deep", input: "Hello." } }),
  "post /v1/responses/input_tokens": () => ({ path: "/v1/responses/input_tokens", body: { input: "Hello." } }),
  "post /v1/responses/compact": () => ({
    path: "/v1/responses/compact",
    body: { model: "flow/deep", input: "Hello." },
  }),
  "post /openai/responses": () => ({ path: "/openai/responses", body: { model: "flow/deep", input: "Hello." } }),
  "post /openai/deployments/{model}/embeddings": () => ({
    path: "/openai/deployments/flow%2Fvectors/embeddings",
    body: { model: "", input: "Hello." },
  }),
  "post /openai/deployments/{model}/chat/completions": () => ({
    path: "/openai/deployments/flow%2Fdeep/chat/completions",
    body: { model: "", messages: MESSAGES },
  }),
  "get /v1/responses/{id}": storedAt(""),
  "delete /v1/responses/{id}": storedAt(""),
  "get /v1/responses/{id}/input_items": storedAt("/input_items"),
  "get /v1/models/{id}": () => ({ path: "/v1/models/flow%2Fdeep" }),
  "get /v1/traces/{id}": ({ traceId }) => ({ path: `/v1/traces/${traceId}` }),
  "post /v1/approvals/{id}": decide("/v1/approvals"),
  "post /admin/keys": () => ({ path: "/admin/keys", body: { name: "made", env: "staging" } }),
  "get /admin/keys/{id}": ofKey(""),
  "patch /admin/keys/{id}": ofKey("", { name: "other" }),
  "delete /admin/keys/{id}": ofKey(""),
  "post /admin/keys/{id}/rotate": ofKey("/rotate"),
  "delete /admin/keys/{id}/data": ofKey("/data"),
  "get /admin/keys/{id}/ledger": ofKey("/ledger"),
  "get /admin/prices/{provider}/{model}": () => ({ path: "/admin/prices/openai/gpt-4.1" }),
  "put /admin/prices/{provider}/{model}": () => ({
    path: `/admin/prices/openai/${unique()}`,
    body: { input: 1, output: 2 },
  }),
  "delete /admin/prices/{provider}/{model}": async ({ worker }) => {
    const path = `/admin/prices/openai/${unique()}`;
    await worker.admin(path, { method: "PUT", body: { input: 1, output: 2 } });
    return { path };
  },
  "get /admin/budgets/{id}": newBudget,
  "put /admin/budgets/{id}": () => ({ path: `/admin/budgets/${unique()}`, body: BUDGET }),
  "delete /admin/budgets/{id}": newBudget,
  "put /admin/settings": () => ({ path: "/admin/settings", body: { spend_tags: [unique()] } }),
  "get /admin/routes/{env}/{name}": ofRoute(""),
  "put /admin/routes/{env}/{name}": ofRoute("", POLICY),
  "delete /admin/routes/{env}/{name}": ofRoute(""),
  "post /admin/routes/{env}/{name}/rollback": async (world) => {
    const name = await newRoute(world);
    await world.worker.putRoute("production", name, POLICY);
    return { path: `/admin/routes/production/${name}/rollback`, body: { version: 1 } };
  },
  "post /admin/routes/{env}/{name}/explain": ofRoute("/explain", { request: { messages: MESSAGES } }),
  "get /admin/routes/{env}/{name}/versions": ofRoute("/versions"),
  "get /admin/routes/{env}/{name}/versions/{version}": ofRoute("/versions/1"),
  "get /admin/routes/{env}/{name}/evidence": ofRoute("/evidence"),
  "post /admin/routes/{name}/promote": async (world) => ({
    path: `/admin/routes/${await newRoute(world)}/promote`,
    body: { from: "production", to: "staging" },
  }),
  "put /admin/providers/{id}": () => ({
    path: `/admin/providers/${unique()}`,
    body: { protocol: "openai", base_url: "https://vendor.example/v1" },
  }),
  "put /admin/webhooks/{id}": () => ({ path: `/admin/webhooks/${unique()}`, body: WEBHOOK }),
  "get /admin/webhooks/{id}": webhookAt(""),
  "delete /admin/webhooks/{id}": webhookAt(""),
  "post /admin/webhooks/{id}/rotate": webhookAt("/rotate"),
  "post /admin/webhooks/{id}/test": webhookAt("/test"),
  "get /admin/webhooks/{id}/deliveries": webhookAt("/deliveries"),
  "patch /admin/providers/{id}": () => ({
    path: "/admin/providers/cerebras",
    body: { disabled: true, reason: "tried" },
  }),
  "patch /admin/providers/{id}/{model}": () => ({
    path: `/admin/providers/openai/${unique()}`,
    body: { disabled: true, reason: "tried" },
  }),
  "delete /admin/providers/{id}": async ({ worker }) => {
    const path = `/admin/providers/${unique()}`;
    const body = { protocol: "openai", base_url: "https://vendor.example/v1" };
    await (await worker.admin(path, { method: "PUT", body })).text();
    return { path };
  },
  // A route whose provider lacks its secret is a finding.
  "get /admin/status": async ({ worker }) => {
    const list = await worker.admin("/admin/routes?limit=1000");
    const { data } = (await list.json()) as { data: { env: string; name: string; policy: typeof POLICY }[] };
    const isFinding = ({ policy }: (typeof data)[number]): boolean =>
      policy.targets.some(({ provider }) => provider !== "sandbox");
    for (const { env, name } of data.filter(isFinding)) {
      await worker.admin(`/admin/routes/${env}/${name}?reason=tidy`, { method: "DELETE" });
    }
    return { path: "/admin/status" };
  },
  "get /admin/traces/{id}": ({ traceId }) => ({ path: `/admin/traces/${traceId}` }),
  "get /admin/spend": () => ({ path: "/admin/spend?group_by=key" }),
  "post /admin/spend/reprice": () => ({
    path: "/admin/spend/reprice",
    body: { provider: "openai", model: "gpt-4.1", since: new Date(Date.now() - 60_000).toISOString() },
  }),
  "get /admin/spend/reprice/{id}": async ({ worker }) => {
    const body = {
      provider: "openai",
      model: "none",
      since: new Date(Date.now() - 60_000).toISOString(),
      dry_run: true,
    };
    const { id } = (await (await worker.admin("/admin/spend/reprice", { body })).json()) as { id: string };
    return { path: `/admin/spend/reprice/${id}` };
  },
  "get /admin/stats": () => ({ path: "/admin/stats?bucket=hour&group_by=route" }),
  "post /admin/approvals/{id}": decide("/admin/approvals"),
};

export const nameOf = ({ method, path }: Operation): string => `${method} ${path}`;

/** A request that succeeds for a caller who may make it. Throws for an operation that nobody has written one for. */
export async function exampleOf(operation: Operation, world: World): Promise<Example> {
  const made = MADE[nameOf(operation)];
  if (made !== undefined) return made(world);
  if (operation.path.includes("{") || operation.body !== undefined)
    throw new Error(`Add ${nameOf(operation)} to MADE.`);
  return { path: operation.path };
}

/** Needs a deployment without keys: `worker/transfer.test.ts` has one. */
const NEEDS_A_FRESH_ONE = "post /admin/import";

export const NAMED_OPERATIONS = OPERATIONS.map((operation) => [nameOf(operation), operation] as const).filter(
  ([name]) => name !== NEEDS_A_FRESH_ONE,
);

/** Sends `example` as the holder of `token`, or of none. */
export function send(world: World, { method }: Operation, example: Example, token: string | null): Promise<Response> {
  const { path, body } = example;
  return world.worker.fetch(path, {
    method: method.toUpperCase(),
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
