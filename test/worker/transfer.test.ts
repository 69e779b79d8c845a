/** A deployment as lines, and a fresh one made of them: every key goes on working with what it has spent. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const READER = "reader-token-of-more-than-32-characters";
const MODEL = "gpt-4.1-mini";
let upstream: Upstream;
let old: TestWorker;
let key: CreatedKey;
let lines: string;

async function start(vars: Record<string, string> = {}): Promise<TestWorker> {
  const provider = { OPENAI_API_KEY: "sk-canary-secret", OPENAI_BASE_URL: `${upstream.url}/v1` };
  return startWorker({ vars: { ...provider, FLOW_ADMIN_TOKENS: `r:${READER}:read`, ...vars } });
}

const chat = (at: TestWorker, token: string): Promise<Response> =>
  at.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/real", messages: [{ role: "user", content: "hi" }], max_tokens: 20 }),
  });

const put = (at: TestWorker, text: string): Promise<Response> =>
  at.fetch("/admin/import", { method: "POST", headers: { authorization: `Bearer ${at.adminToken}` }, body: text });

async function spent(at: TestWorker): Promise<number> {
  const { spend } = (await (await at.admin(`/admin/keys/${key.id}`)).json()) as { spend: { spent_usd: number } };
  return spend.spent_usd;
}

const BUDGETS = ["all", "app", "zone"];

async function used(at: TestWorker, id: string): Promise<number> {
  const budget = (await (await at.admin(`/admin/budgets/${id}`)).json()) as { status: { spent_usd: number } };
  return budget.status.spent_usd;
}

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.scriptFor(MODEL, { json: completion({ text: "hi" }) });
  old = await start();
  await old.putRoute("production", "real", { targets: [{ provider: "openai", model: MODEL }], aliases: ["gpt-x"] });
  await old.putRoute("production", "real", { targets: [{ provider: "openai", model: MODEL }], description: "second" });
  key = await old.createKey({ budget: { limit_usd: 0.00003, period: "month" } });
  const request = (path: string, body: object, method = "PUT") => old.admin(path, { method, body });
  await request("/admin/prices/openai/mine", { input: 1, output: 2 });
  await request("/admin/providers/own", { protocol: "openai", base_url: "https://own.example.com/v1" });
  await request("/admin/budgets/all", { scope: {}, limit_usd: 100, period: "month" });
  await request("/admin/budgets/app", { scope: { app: "default" }, limit_usd: 100, period: "total" });
  const zone = { period: "week", time_zone: "Pacific/Auckland" };
  await request("/admin/budgets/zone", { scope: { env: "production" }, limit_usd: 100, ...zone });
  await request("/admin/settings", { spend_tags: ["team"] });
  // Nothing of this team was spent, though its key has spent: sums of days know no tags.
  await request("/admin/budgets/team", { scope: { tag: { name: "team", value: "x" } }, limit_usd: 1, period: "day" });
  await request("/admin/webhooks/hook", { url: "https://hooks.example.com/x", events: ["route.published"] });
  await request("/admin/providers/groq", { disabled: true, reason: "dispute" }, "PATCH");
  const refused = (await (await chat(old, key.key)).json()) as { error: { limit: { bound_usd: number } } };
  // Room for two requests of 0.000012 USD, and not for a third one's bound.
  const budget = { limit_usd: Number((refused.error.limit.bound_usd + 0.000018).toFixed(9)), period: "month" };
  await request(`/admin/keys/${key.id}`, { budget }, "PATCH");
  expect((await chat(old, key.key)).status).toBe(200);
  await vi.waitFor(async () => expect(await spent(old)).toBeGreaterThan(0), { timeout: 5_000 });
  for (const id of BUDGETS) await vi.waitFor(async () => expect(await used(old, id)).toBeGreaterThan(0), 10_000);
  const exported = await old.admin("/admin/export");
  expect([exported.status, exported.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
  lines = await exported.text();
}, 60_000);
afterAll(async () => {
  await old.stop();
  await upstream.stop();
});

test("the export has a head, every kind, hashes and no secret, is audited and for `admin` only", async () => {
  const values = lines
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string });
  expect(values[0]).toMatchObject({
    kind: "flow-layer-export",
    schema: 1,
    pepper_id: expect.stringMatching(/^[0-9a-f]{8}$/),
  });
  const kinds = new Set(values.map(({ kind }) => kind));
  for (const kind of ["key", "route", "provider", "price", "budget", "setting", "webhook", "audit"]) {
    expect(kinds.has(kind)).toBe(true);
  }
  expect(values.filter(({ kind }) => kind === "route")).toHaveLength(2);
  expect(lines).not.toMatch(/whsec_|sk-canary-secret/);
  expect(lines).not.toContain(key.key);
  expect(lines).not.toContain(old.adminToken);
  const audit = await old.admin("/admin/audit?action=export");
  expect(await audit.json()).toMatchObject({ data: [{ actor: "admin" }] });
  const refused = await old.fetch("/admin/export", { headers: { authorization: `Bearer ${READER}` } });
  expect([refused.status, await refused.json()]).toMatchObject([403, { error: { role: "admin" } }]);
});

test("in a fresh deployment everything is there, and the key goes on with what it has spent", async () => {
  const fresh = await start();
  try {
    const done = await put(fresh, lines);
    expect([done.status, await done.json()]).toMatchObject([200, { imported: { key: 1, route: 2, budget: 4 } }]);
    for (const id of [...BUDGETS, "team"]) {
      const before = await used(old, id);
      await vi.waitFor(async () => expect([id, await used(fresh, id)]).toEqual([id, before]), 10_000);
    }
    expect(await spent(fresh)).toBe(await spent(old));
    const answer = await chat(fresh, key.key);
    expect(answer.status).toBe(200);
    await answer.text();
    await vi.waitFor(async () => expect(await spent(fresh)).toBeCloseTo(2 * (await spent(old)), 9), { timeout: 5_000 });
    for (const id of BUDGETS) {
      const twice = 2 * (await used(old, id));
      await vi.waitFor(async () => expect([id, await used(fresh, id)]).toEqual([id, twice]), 10_000);
    }
    expect(await used(fresh, "team")).toBe(0);
    // Its budget had room for two requests, one of which was made elsewhere.
    expect((await chat(fresh, key.key)).status).toBe(402);
    const ledger = await fresh.admin(`/admin/keys/${key.id}/ledger`);
    expect(await ledger.json()).toMatchObject({ consistent: true });
    const same = async (path: string): Promise<void> => {
      expect(await (await fresh.admin(path)).json()).toEqual(await (await old.admin(path)).json());
    };
    await same("/admin/routes/production/real/versions");
    await same("/admin/settings");
    const models = await fresh.fetch("/v1/models", { headers: { authorization: `Bearer ${key.key}` } });
    expect(await models.text()).toContain("flow/real");
    const audit = await (await fresh.admin("/admin/audit?limit=1000")).text();
    for (const action of ["key.create", "route.publish", "price.put", "import"]) expect(audit).toContain(action);
    const again = await put(fresh, lines);
    expect([again.status, await again.json()]).toMatchObject([409, { error: { code: "not_empty" } }]);
  } finally {
    await fresh.stop();
  }
}, 60_000);

test("an export of many pages has every line once, and what comes in is what went out", async () => {
  const [one, other] = await Promise.all([start(), start()]);
  try {
    const names = Array.from({ length: 230 }, (_, at) => `route-${at}`);
    for (let at = 0; at < names.length; at += 10) {
      const targets = [{ provider: "openai", model: MODEL }];
      await Promise.all(names.slice(at, at + 10).map((name) => one.putRoute("staging", name, { targets })));
    }
    const text = await (await one.admin("/admin/export")).text();
    const routes = text.split("\n").filter((line) => line.startsWith('{"kind":"route"'));
    expect(new Set(routes.map((line) => JSON.parse(line).row.name))).toEqual(new Set(names));
    expect(routes).toHaveLength(names.length);
    expect(text.split("\n").filter((line) => line.startsWith('{"kind":"audit"')).length).toBeGreaterThan(names.length);
    expect((await put(other, text)).status).toBe(200);
    const again = await (await other.admin("/admin/export")).text();
    expect(again.split("\n").filter((line) => line.startsWith('{"kind":"route"'))).toHaveLength(names.length);
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
}, 60_000);

test("an export under traffic names no version that it does not hold", async () => {
  const [one, other] = await Promise.all([start(), start()]);
  try {
    const publish = async (round: number): Promise<void> => {
      const targets = [{ provider: "openai", model: `${MODEL}-${round}` }];
      await Promise.all(["a", "b", "c", "d"].map((name) => one.putRoute("staging", name, { targets })));
    };
    await publish(0);
    let isOver = false;
    const publishing = (async () => {
      for (let round = 1; !isOver; round++) await publish(round);
    })();
    const exports = [];
    for (let tries = 0; tries < 5; tries++) exports.push(await (await one.admin("/admin/export")).text());
    isOver = true;
    await publishing;
    for (const text of exports) {
      const values = text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      const numbers = new Set(values.filter(({ kind }) => kind === "route").map(({ row }) => row.seq));
      const active = values.filter(({ kind }) => kind === "active");
      expect(active).toHaveLength(4);
      for (const { row } of active) expect(numbers.has(row.seq)).toBe(true);
    }
    expect((await put(other, exports.at(-1) ?? "")).status).toBe(200);
    expect((await other.admin("/admin/routes/staging/a")).status).toBe(200);
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
}, 60_000);

test("an import is as large as it is: it passes through, and nothing of it is held", async () => {
  const fresh = await start();
  try {
    const columns = { at_ms: 1, actor: "a", action: "key.update", object: "key x" };
    const lineOf = (seq: number) =>
      JSON.stringify({
        kind: "audit",
        row: { seq, ...columns, detail: JSON.stringify({ text: "x".repeat(500_000) }) },
      });
    const many = Array.from({ length: 60 }, (_, at) => lineOf(1_000_000 + at)).join("\n");
    const large = `${lines.trimEnd()}\n${many}\n`;
    expect(large.length).toBeGreaterThan(28 * 1024 * 1024);
    const done = await put(fresh, large);
    expect([done.status, await done.json()]).toMatchObject([200, { imported: { key: 1, audit: expect.any(Number) } }]);
    expect((await chat(fresh, key.key)).status).toBe(200);
    const { status } = await fresh.admin("/admin/audit?action=key.update&limit=2");
    expect(status).toBe(200);
    // Its last line is bad: nothing came in, and the same deployment takes the right one.
    const other = await start();
    const bad = await put(other, `${large}{"kind":"audit","row":{}}\n`);
    expect([bad.status, await bad.json()]).toMatchObject([400, { error: { line: large.split("\n").length } }]);
    expect(await (await other.admin("/admin/audit")).json()).toMatchObject({ data: [] });
    expect((await put(other, lines)).status).toBe(200);
    await other.stop();
  } finally {
    await fresh.stop();
  }
}, 60_000);

describe("an import that is not whole changes nothing", () => {
  let fresh: TestWorker;
  beforeAll(async () => {
    fresh = await start();
  });
  afterAll(() => fresh.stop());

  const headOf = (): string => lines.split("\n")[0] ?? "";
  test.each([
    ["nothing", () => "", null],
    ["no head", () => lines.split("\n").slice(1).join("\n"), 1],
    ["another schema", () => lines.replace('"schema":1', '"schema":2'), 1],
    ["a line that is no JSON", () => `${headOf()}\n{"kind":`, 2],
    ["an unknown kind", () => `${headOf()}\n{"kind":"cat","row":{}}`, 2],
    ["a row without its number", () => `${lines}{"kind":"key","row":{"id":"x"},"sums":[]}`, null],
    ["an unknown column", () => `${headOf()}\n{"kind":"provider","row":{"id":"x","evil":1}}`, 2],
    ["a record that is no JSON", () => `${headOf()}\n{"kind":"provider","row":{"id":"x","record":"{"}}`, 2],
    [
      "a record that is none of its kind",
      () => `${headOf()}\n{"kind":"budget","row":{"id":"x","record":"{}","digest":"d"}}`,
      2,
    ],
    [
      "a record of another row",
      () => lines.replace('"kind":"budget","row":{"id":"all"', '"kind":"budget","row":{"id":"al"'),
      null,
    ],
    ["a row without a column", () => `${headOf()}\n{"kind":"disabled","row":{"name":"x"}}`, 2],
    ["a number in the place of a text", () => `${headOf()}\n{"kind":"setting","row":{"name":1}}`, 2],
    [
      "a sum that is malformed",
      () => lines.replace(/"sum":\{"period_start":[^,]+/g, '"sum":{"period_start":"x"'),
      null,
    ],
    ["a line without an end", () => `${headOf()}\n${"x".repeat(5_000_000)}`, 2],
    ["sums that are malformed", () => `${headOf()}\n{"kind":"key","row":{"seq":1},"sums":[{"period":1}]}`, 2],
  ] as const satisfies readonly (readonly [string, () => string, number | null])[])("%s", async (_, text, line) => {
    const response = await put(fresh, text());
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; line?: number } };
    expect(error.code).toBe("invalid_request");
    if (line !== null) expect(error.line).toBe(line);
    expect(await (await fresh.admin("/admin/keys")).json()).toMatchObject({ data: [] });
  });

  test("another pepper", async () => {
    const other = await start({ FLOW_KEY_PEPPER: "another-pepper-another-pepper" });
    const response = await put(other, lines);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining("pepper"), line: 1 } });
    await other.stop();
  });
});
