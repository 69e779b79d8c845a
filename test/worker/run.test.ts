/** Requests that a page runs: as a built-in key, within its budget, by those who may. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { POLICY } from "../support/operations.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const READER = "reader-token-of-more-than-32-characters";
const RELEASER = "releaser-token-of-more-than-32-characters";
let worker: TestWorker;
let plain: TestWorker;
beforeAll(async () => {
  worker = await startWorker({
    vars: { FLOW_ADMIN_TOKENS: `r:${READER}:read l:${RELEASER}:release`, OPENAI_API_KEY: "sk-x" },
  });
  plain = await startWorker({ vars: { FLOW_SANDBOX: undefined } });
  await worker.putRoute("production", "deep", POLICY);
  await worker.putRoute("production", "real", { targets: [{ provider: "openai", model: "gpt-4.1-mini" }] });
});
afterAll(() => Promise.all([worker.stop(), plain.stop()]));

const MESSAGES = [{ role: "user", content: "hi" }];
const run = (path: string, body: unknown, headers: Record<string, string> = {}, at = worker): Promise<Response> =>
  at.fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
const asAdmin = (token = worker.adminToken): Record<string, string> => ({ authorization: `Bearer ${token}` });
const CHAT = { request: { model: "flow/deep", messages: MESSAGES } };

interface Key {
  readonly id: string;
  readonly name: string;
  readonly kind?: string;
  readonly [member: string]: unknown;
}

async function builtIn(): Promise<Key[]> {
  const list = (await (await worker.admin("/admin/keys?limit=1000")).json()) as { data: Key[] };
  return list.data.filter(({ kind }) => kind !== undefined);
}

describe("POST /console/run", () => {
  test("runs a request of every API as the environment's built-in key, which is made once", async () => {
    const chat = await run("/console/run", { env: "production", api: "chat", ...CHAT }, asAdmin());
    expect(chat.status).toBe(200);
    expect(await chat.json()).toMatchObject({ object: "chat.completion", flow: { route: "flow/deep" } });
    expect(chat.headers.get("x-flowlayer-app")).toBe("console");
    const messages = await run(
      "/console/run",
      { api: "messages", request: { ...CHAT.request, max_tokens: 10 } },
      asAdmin(),
    );
    expect(await messages.json()).toMatchObject({ type: "message" });
    const responses = await run(
      "/console/run",
      { api: "responses", request: { model: "flow/deep", input: "hi" } },
      asAdmin(),
    );
    expect(await responses.json()).toMatchObject({ object: "response", store: false });
    const stream = await run("/console/run", { request: { ...CHAT.request, stream: true } }, asAdmin());
    expect(await stream.text()).toMatch(/data: \[DONE\]\n\n$/);
    expect(await builtIn()).toMatchObject([
      {
        ...{ name: "console-production", kind: "console", env: "production", apps: ["console"], status: "active" },
        budget: { limit_usd: 10, period: "day" },
      },
    ]);
    const id = chat.headers.get("x-request-id");
    await vi.waitFor(async () => expect((await worker.admin(`/admin/traces/${id}`)).status).toBe(200), {
      timeout: 5_000,
    });
  });

  test("keeps to the budget and the status that an operator sets, and to no secret", async () => {
    const [key] = await builtIn();
    const path = `/admin/keys/${key?.id}`;
    const rotated = await worker.admin(`${path}/rotate`, { method: "POST" });
    expect(rotated.status).toBe(400);
    const patch = (body: object) => worker.admin(path, { method: "PATCH", body });
    await patch({ budget: { limit_usd: 0.000000001, period: "day" } });
    const real = { request: { model: "flow/real", messages: MESSAGES } };
    const refused = await run("/console/run", real, asAdmin());
    expect(refused.status).toBe(402);
    expect(await refused.json()).toMatchObject({ error: { code: "budget_exceeded" } });
    await patch({ status: "paused" });
    expect(await (await run("/console/run", CHAT, asAdmin())).json()).toMatchObject({
      error: { message: expect.stringContaining("`console-production` is paused") },
    });
    await patch({ status: "active", budget: { limit_usd: 10, period: "day" } });
    expect((await run("/console/run", CHAT, asAdmin())).status).toBe(200);
  });

  test.each([
    ["nobody", () => ({}), 401, "missing_api_key"],
    ["a role that may not release", () => asAdmin(READER), 403, "role_required"],
    [
      "a cookie from another page",
      () => ({ cookie: "flowlayer-local=x", "sec-fetch-site": "cross-site" }),
      401,
      "missing_api_key",
    ],
  ] as const)("%s is refused", async (_, headers, status, code) => {
    const response = await run("/console/run", CHAT, headers() as Record<string, string>);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  test("a session of the console's page may run, and so may `release`", async () => {
    expect((await run("/console/run", CHAT, asAdmin(RELEASER))).status).toBe(200);
    const page = { "sec-fetch-site": "same-origin", "x-flowlayer-console": "1", origin: worker.url };
    const opened = await run("/console/session", { token: RELEASER }, page);
    const cookie = opened.headers.get("set-cookie")?.split(";")[0] ?? "";
    expect((await run("/console/run", CHAT, { ...page, cookie })).status).toBe(200);
  });

  test.each([
    [{ env: "prodution", ...CHAT }, 400, "env"],
    [{ api: "fax", ...CHAT }, 400, "api"],
    [{ request: "hi" }, 400, "request"],
    [{ request: { model: "flow/none", messages: MESSAGES } }, 400, "model"],
    [{ request: { model: "flow/deep", messages: [] } }, 400, "messages"],
  ])("%o is refused", async (body, status, param) => {
    const response = await run("/console/run", body, asAdmin());
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe("POST /docs/run", () => {
  test("runs for everybody on the sandbox, and on nothing else", async () => {
    const answer = await run("/docs/run", CHAT);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-flowlayer-provider")).toBe("sandbox");
    for (const request of [
      { model: "flow/real", messages: MESSAGES },
      { model: "flow/real", messages: MESSAGES, route: { only: ["openai"] } },
      { model: "openai/gpt-4.1-mini", messages: MESSAGES },
    ]) {
      expect(await (await run("/docs/run", { request })).json()).toMatchObject({
        error: { code: "no_capable_target" },
      });
    }
    expect((await builtIn()).map(({ name }) => name).sort()).toEqual(["console-production", "docs-production"]);
  });

  test("ten a minute per address", async () => {
    const from = (address: string) => run("/docs/run", CHAT, { "cf-connecting-ip": address });
    const statuses: number[] = [];
    for (let at = 0; at < 11; at++) statuses.push((await from("203.0.113.7")).status);
    expect(statuses).toEqual([...Array<number>(10).fill(200), 429]);
    const refused = await from("203.0.113.7");
    expect(refused.headers.get("retry-after")).toBe("60");
    expect((await from("203.0.113.8")).status).toBe(200);
  });

  test("is not there without a sandbox, and the index says which it is", async () => {
    expect((await run("/docs/run", CHAT, {}, plain)).status).toBe(404);
    const index = async (at: TestWorker): Promise<unknown> =>
      ((await (await at.fetch("/", { headers: { accept: "application/json" } })).json()) as { run?: string }).run;
    expect([await index(worker), await index(plain)]).toEqual(["/docs/run", undefined]);
  });
});
