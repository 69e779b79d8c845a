/** `GET /admin/providers`, and the published list of open breakers, from what targets really did. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { providerIds } from "../../src/providers/index.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { completion, type ScriptSource, startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const SECRET = "sk-canary0123456789abcdefcanary0123456789";
/** Part of a base URL, as a credential may be. */
const URL_SECRET = "canary-in-the-address";
const OK = { json: completion() };
const BAD = { status: 500, json: { error: { message: "no" } } };

interface Target {
  readonly model: string;
  readonly routes: readonly string[];
  readonly state: string;
  readonly open_until: string | null;
  readonly cooldown_until: string | null;
  readonly total_ms: { readonly p50: number; readonly p95: number } | null;
  readonly [member: string]: unknown;
}

interface Entry {
  readonly id: string;
  readonly configured: boolean;
  readonly missing: readonly string[];
  readonly targets: readonly Target[];
}

interface List {
  readonly object: string;
  readonly data: readonly Entry[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

let upstream: Upstream;
let worker: TestWorker;
beforeAll(async () => {
  upstream = await startUpstream();
  const vars = {
    OPENAI_API_KEY: SECRET,
    OPENAI_BASE_URL: `${upstream.url}/${URL_SECRET}/v1`,
    AZURE_API_KEY: SECRET,
    MISTRAL_API_KEY: `${SECRET}\nwith a line break`,
    AWS_REGION: SECRET,
    FLOW_ADMIN_TOKENS: `ann:${SECRET}`,
  };
  worker = await startWorker({ vars, front: FAULTS_FRONT });
});
afterEach(() => setFaults(worker));
afterAll(async () => {
  await worker.stop();
  await upstream.stop();
});

async function list(query = ""): Promise<List> {
  const response = await worker.admin(`/admin/providers${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as List;
}

async function targetOf(model: string): Promise<Target | undefined> {
  const { data } = await list();
  return data.flatMap(({ targets }) => targets).find((target) => target.model === model);
}

let count = 0;

/** A route of its own to one model of its own at `openai`, and what its requests get. */
async function ownTarget(script: readonly ScriptSource[] = [OK]) {
  const name = `listed-${++count}`;
  const model = `listed-model-${count}`;
  upstream.scriptFor(model, script);
  const policy = { targets: [{ provider: "openai", model }], retry: { same_target: 0 } };
  const [{ key }] = await Promise.all([worker.createKey(), worker.putRoute("production", name, policy)]);
  const ask = async (): Promise<number> => {
    const response = await worker.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: `flow/${name}`, messages: [{ role: "user", content: "hi" }] }),
    });
    await response.text();
    return response.status;
  };
  return { name, model, policy, ask };
}

describe("the list", () => {
  test("every provider of the deployment stands in it, in the order of the table, with what it lacks", async () => {
    const { object, data, has_more, next_cursor } = await list();
    expect({ object, has_more, next_cursor }).toEqual({ object: "list", has_more: false, next_cursor: null });
    expect(data.map(({ id }) => id)).toEqual(providerIds());
    const about = (id: string) => {
      const entry = data.find((each) => each.id === id);
      return { configured: entry?.configured, missing: entry?.missing };
    };
    expect(about("openai")).toEqual({ configured: true, missing: [] });
    expect(about("sandbox")).toEqual({ configured: true, missing: [] });
    expect(about("groq")).toEqual({ configured: false, missing: ["GROQ_API_KEY"] });
    expect(about("azure")).toEqual({ configured: false, missing: ["AZURE_RESOURCE_NAME"] });
    // Set, but not usable: nothing is absent.
    expect(about("mistral")).toEqual({ configured: false, missing: [] });
  });

  test("a target nobody has used yet is closed, without figures, under each route that names it", async () => {
    const { name, model, policy } = await ownTarget();
    await worker.putRoute("staging", name, policy);
    expect(await targetOf(model)).toEqual({
      model,
      routes: [`production/${name}`, `staging/${name}`],
      state: "closed",
      open_until: null,
      cooldown_until: null,
      ejections: 0,
      requests: 0,
      failures: 0,
      error_rate: null,
      rate_limited: 0,
      first_token_ms: null,
      total_ms: null,
      window_seconds: 60,
      ...{
        disabled: null,
        open_for_key: null,
        resting_isolates: 0,
        unclean_until: null,
        last_failure: null,
        openings: [],
      },
    });
  });

  test("a target that fails shows its error rate, and how long its answers took", async () => {
    const { model, ask } = await ownTarget([BAD, OK, OK, OK, BAD, OK, OK, OK]);
    for (let asked = 0; asked < 8; asked++) await ask();
    const told = { requests: 8, total_ms: { p50: expect.any(Number), p95: expect.any(Number) } };
    await expect.poll(() => targetOf(model), { timeout: 6_000 }).toMatchObject(told);
    const target = await targetOf(model);
    expect(target).toMatchObject({ state: "closed", failures: 2, error_rate: 0.25, rate_limited: 0 });
    const { p50, p95 } = target?.total_ms ?? { p50: Number.NaN, p95: Number.NaN };
    expect(p50).toBeGreaterThan(0);
    expect(p95).toBeGreaterThanOrEqual(p50);
  });

  test("a provider that asks to be left alone is cooling down, and that is no failure", async () => {
    const { model, ask } = await ownTarget([{ status: 429, headers: { "retry-after": "40" }, json: {} }]);
    await ask();
    await expect.poll(() => targetOf(model), { timeout: 6_000 }).toMatchObject({ rate_limited: 1, failures: 0 });
    const until = Date.parse((await targetOf(model))?.cooldown_until ?? "");
    expect(until).toBeGreaterThan(Date.now() + 20_000);
    expect(until).toBeLessThan(Date.now() + 60_000);
  });

  test("an outage opens the breaker: it is listed until when, and published for cold isolates", async () => {
    const { model, ask } = await ownTarget([BAD]);
    const target = `openai/${model}`;
    for (let asked = 0; asked < 24; asked++) await ask();
    await expect.poll(() => targetOf(model), { timeout: 6_000 }).toMatchObject({ state: "open", ejections: 1 });
    const { open_until } = (await targetOf(model)) ?? {};
    const { CONFIG } = worker.bindings();
    const published = () => CONFIG.get<{ open: Record<string, number> }>("health", "json");
    await expect.poll(async () => (await published())?.open[target], { timeout: 6_000 }).toBeDefined();
    expect(Date.parse(open_until ?? "")).toBe((await published())?.open[target]);
  });

  test("a target that no route names is listed while its breaker is published as open", async () => {
    const { CONTROL_PLANE } = worker.bindings();
    const control = CONTROL_PLANE.getByName("control");
    const at = Date.now();
    const target = "groq/gone/model";
    await control.noteTargetHealth({ target, isOpen: true, openUntil: at + 5_000, at });
    expect(await targetOf("gone/model")).toMatchObject({ routes: [], state: "closed", requests: 0 });
    await control.noteTargetHealth({ target, isOpen: false, openUntil: 0, at: at + 1 });
    expect(await targetOf("gone/model")).toBeUndefined();
  });

  test("health objects that hang make their targets unknown and do not fail the list", async () => {
    await Promise.all(Array.from({ length: 4 }, () => ownTarget()));
    await setFaults(worker, { health: "hang" });
    const startedAt = Date.now();
    const { data } = await list();
    expect(Date.now() - startedAt).toBeLessThan(6_500);
    expect(data).toHaveLength(providerIds().length);
    const targets = data.flatMap((entry) => entry.targets);
    expect(targets.length).toBeGreaterThanOrEqual(4);
    for (const target of targets) {
      expect(target).toMatchObject({ state: "unknown", requests: null, error_rate: null, open_until: null });
      expect(target.routes).toHaveLength(1 + Number(target.routes.some((route) => route.startsWith("staging/"))));
    }
  });

  test("no secret and no address is in it, wherever it stands", async () => {
    await ownTarget();
    const text = await (await worker.admin("/admin/providers?limit=1000")).text();
    const forbidden = [SECRET, SECRET.slice(3), URL_SECRET, upstream.url, worker.adminToken, "https://", "test-pepper"];
    for (const each of forbidden) expect(text).not.toContain(each);
    for (const each of [SECRET, URL_SECRET]) expect(worker.logs()).not.toContain(each);
  });

  test("pages follow each other without gaps", async () => {
    const ids: string[] = [];
    let cursor: string | null = "";
    for (let page = 0; cursor !== null && page < 10; page++) {
      const { data, has_more, next_cursor }: List = await list(`?limit=7${cursor && `&cursor=${cursor}`}`);
      expect(has_more).toBe(next_cursor !== null);
      expect(data.length).toBeLessThanOrEqual(7);
      ids.push(...data.map(({ id }) => id));
      cursor = next_cursor;
    }
    expect(ids).toEqual(providerIds());
  });

  test.each(["limit=0", "limit=x", "cursor=nobody", "cursor=", "cursor=__proto__"])("?%s is refused", async (query) => {
    const response = await worker.admin(`/admin/providers?${query}`);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect([response.status, error["code"], error["param"]]).toEqual([
      400,
      "invalid_request",
      query.slice(0, query.indexOf("=")),
    ]);
  });
});

describe("who may read it", () => {
  test("only operators: neither a stranger nor a key", async () => {
    const { key } = await worker.createKey();
    for (const authorization of ["", `Bearer ${key}`, `Bearer ${"x".repeat(48)}`]) {
      const response = await worker.fetch("/admin/providers", {
        headers: authorization === "" ? {} : { authorization },
      });
      expect(response.status).toBe(401);
      expect(await response.text()).not.toContain("configured");
    }
  });

  test("other methods are 405 and say which are possible", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const response = await worker.admin("/admin/providers", { method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
    expect((await worker.admin("/admin/providers", { method: "HEAD" })).status).toBe(200);
  });
});

describe("what breakers become", () => {
  test("many changes within a second end in KV as one list, and leave no audit line", async () => {
    const { CONFIG, CONTROL_PLANE } = worker.bindings();
    const control = CONTROL_PLANE.getByName("control");
    const audit = async (): Promise<string> => (await worker.admin("/admin/audit?limit=1")).text();
    const before = await audit();
    const at = Date.now();
    const changes = Array.from({ length: 12 }, (_, index) => ({
      target: `xai/burst-${index % 6}`,
      isOpen: index < 6 || index % 2 === 0,
      openUntil: at + 20_000 + index,
      at: at + index,
    }));
    await Promise.all(changes.map((change) => control.noteTargetHealth(change)));
    const burst = async (): Promise<unknown> => {
      const { open } = (await CONFIG.get<{ open: Record<string, number> }>("health", "json")) ?? { open: {} };
      return Object.fromEntries(Object.entries(open).filter(([target]) => target.startsWith("xai/")));
    };
    const wanted = { "xai/burst-0": at + 20_006, "xai/burst-2": at + 20_008, "xai/burst-4": at + 20_010 };
    await expect.poll(burst, { timeout: 6_000 }).toEqual(wanted);
    expect(await audit()).toBe(before);
    // Late and older: it stays as it is.
    await control.noteTargetHealth({ target: "xai/burst-1", isOpen: true, openUntil: at + 20_000, at });
    expect((await list()).data.find(({ id }) => id === "xai")?.targets).toHaveLength(3);
  });
});
