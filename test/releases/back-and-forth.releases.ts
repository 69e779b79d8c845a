/**
 * A deployment goes back to the release before, and forth again, with the state that the other one wrote: every key goes
 * on working, no request is lost, and what one booked the other one knows.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startPops } from "../support/pops.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const KEPT = new URL(".", import.meta.url).pathname;
const MODEL = "gpt-4.1-mini";
/** Never answers. */
const SLOW_MODEL = "gpt-4.1";
const ROUTE = { targets: [{ provider: "openai", model: MODEL }], tools: { wait_ms: 0 } };
/** Keys of every kind that both releases know. */
const KINDS: Readonly<Record<string, object>> = {
  plain: {},
  daily: { budget: { limit_usd: 1, period: "day" } },
  monthly: { budget: { limit_usd: 1, period: "month" } },
  total: { budget: { limit_usd: 1, period: "total" }, apps: ["web"], routes: ["real"] },
  limited: { limits: { requests_per_minute: 1000, tokens_per_minute: 1_000_000, concurrency: 50 } },
};

/**
 * Keys that only this release makes. The one before reads a zone's day as one in UTC, and knows no week: it answers 503
 * for such a key, whose budget it must not pass, and books nothing.
 */
const LATER_KINDS: Readonly<Record<string, object>> = {
  weekly: { budget: { limit_usd: 1, period: "week" } },
  zoned: { budget: { limit_usd: 1, period: "day", time_zone: "Pacific/Auckland" } },
};
const COST_USD = 0.000012;

let upstream: Upstream;
let before: { readonly tag: string; readonly source: string };

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.scriptFor(MODEL, { json: completion({ text: "hi" }) });
  upstream.scriptFor(SLOW_MODEL, { hang: true });
  const tags = (await readdir(KEPT, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  const tag = tags.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? "";
  before = { tag, source: gunzipSync(await readFile(join(KEPT, tag, "worker.js.gz"))).toString() };
});
afterAll(() => upstream.stop());

type Release = "before" | "this";
type Json = Readonly<Record<string, unknown>>;

interface Traffic {
  /** Ends it, when what is under way is answered. Answers what went wrong. */
  stop(): Promise<readonly string[]>;
}

/** A deployment whose state outlives the release that serves it. */
class Deployment {
  readonly #directory: string;
  readonly keys = new Map<string, CreatedKey>();
  /** Requests that were answered with 200, by key id. */
  readonly sent = new Map<string, number>();
  worker!: TestWorker;
  release!: Release;
  /** What the platform routes to the next release waits for it. */
  #isUp: Promise<void> = Promise.resolve();
  #underWay = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Requests under way end on the release that took them, and so does what they book. Those that come meanwhile wait. */
  async serve(release: Release): Promise<void> {
    let up = (): void => {};
    this.#isUp = new Promise((resolve) => {
      up = resolve;
    });
    await vi.waitFor(() => expect(this.#underWay).toBe(0), { timeout: 10_000 });
    if (this.worker !== undefined) await this.settled();
    await this.start(release);
    up();
  }

  /** The platform ends the release before at once: what is under way is cut. */
  async start(release: Release): Promise<void> {
    await this.worker?.stop();
    this.release = release;
    const vars = {
      ...{ OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` },
      FLOW_ADMIN_TOKEN: "operator-token-of-more-than-32-characters",
    };
    const source = release === "before" ? { release: before.source } : {};
    this.worker = await startWorker({ vars, persist: this.#directory, ...source });
  }

  async prepare(): Promise<void> {
    await this.worker.putRoute("production", "real", ROUTE);
    for (const [kind, spec] of Object.entries(KINDS)) this.keys.set(kind, await this.worker.createKey(spec as never));
    if (this.release === "this") await this.prepareLater();
  }

  /** What only this release knows: keys, and a budget above all keys. */
  async prepareLater(): Promise<void> {
    if (this.keys.has("weekly")) return;
    for (const [kind, spec] of Object.entries(LATER_KINDS)) {
      this.keys.set(kind, await this.worker.createKey(spec as never));
    }
    const body = { scope: {}, limit_usd: 100, period: "total" };
    expect((await this.worker.admin("/admin/budgets/all", { method: "PUT", body })).status).toBe(200);
  }

  /** Keys that the release which serves can read, and whether it knows them. */
  served(): readonly (readonly [key: CreatedKey, isKnown: boolean])[] {
    return [...this.keys].map(([kind, key]) => [key, this.release === "this" || kind !== "weekly"] as const);
  }

  /** What the budget above all keys has spent, by this release. */
  async spentOfAll(): Promise<number> {
    const budget = (await (await this.worker.admin("/admin/budgets/all")).json()) as { status: { spent_usd: number } };
    return budget.status.spent_usd;
  }

  /** One client per key asks on and on, through whatever release there is. */
  traffic(): Traffic {
    const faults: string[] = [];
    let isOver = false;
    const ask = async (key: CreatedKey): Promise<void> => {
      while (!isOver) {
        // Nothing may begin between the promise that is awaited and the next one.
        for (let up: Promise<void> | null = null; up !== this.#isUp; await up) up = this.#isUp;
        if (isOver) return;
        this.#underWay++;
        try {
          const isKnown = this.served().find(([{ id }]) => id === key.id)?.[1];
          const answer = await this.chat(key.key);
          const text = await answer.text();
          if (answer.status === 200) this.sent.set(key.id, (this.sent.get(key.id) ?? 0) + 1);
          if (answer.status !== (isKnown ? 200 : 503)) faults.push(`${answer.status} ${text}`);
        } catch (error) {
          faults.push(String(error));
        } finally {
          this.#underWay--;
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const clients = [...this.keys.values()].map(ask);
    return {
      stop: async () => {
        isOver = true;
        await Promise.all(clients);
        return faults;
      },
    };
  }

  chat(key: string, body: object = {}): Promise<Response> {
    return this.worker.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "flow/real",
        messages: [{ role: "user", content: "hi" }],
        max_tokens: 50,
        ...body,
      }),
    });
  }

  /** Some requests with every key, several at a time. */
  async drive(times = 4): Promise<void> {
    for (const [{ id, key }, isKnown] of this.served()) {
      const answers = await Promise.all(Array.from({ length: times }, () => this.chat(key)));
      const status = isKnown ? 200 : 503;
      for (const answer of answers) expect([answer.status, await answer.text()]).toEqual([status, expect.any(String)]);
      if (isKnown) this.sent.set(id, (this.sent.get(id) ?? 0) + times);
    }
  }

  /** Every request that was ever answered is booked. A platform lets a request finish that way before its isolate goes. */
  async settled(): Promise<void> {
    for (const [{ id }, isKnown] of this.served()) {
      if (!isKnown) continue;
      const sent = this.sent.get(id) ?? 0;
      const ledger = async () => (await (await this.worker.admin(`/admin/keys/${id}/ledger`)).json()) as never;
      await vi.waitFor(
        async () =>
          expect(await ledger()).toMatchObject({
            ...{ consistent: true, open_requests: 0, open_reservations: 0, lost_traces: 0 },
            periods: { total: { requests: sent, spent_usd: expect.closeTo(sent * COST_USD, 9) } },
          }),
        { timeout: 15_000, interval: 200 },
      );
    }
  }

  /** Every request that was ever answered is booked, and is in the key's traces and in the trail. */
  async expectBooked(): Promise<void> {
    await this.settled();
    for (const [{ id, key }, isKnown] of this.served()) {
      if (!isKnown) continue;
      const sent = this.sent.get(id) ?? 0;
      const count = async (path: string, init: RequestInit): Promise<number> =>
        ((await (await this.worker.fetch(path, init)).json()) as { data: unknown[] }).data.length;
      const own = { headers: { authorization: `Bearer ${key}` } };
      const operator = { headers: { authorization: `Bearer ${this.worker.adminToken}` } };
      expect(await count("/v1/traces?limit=1000", own)).toBe(sent);
      const listed = () => count(`/admin/traces?key=${id}&limit=1000`, operator);
      await vi.waitFor(async () => expect(await listed()).toBe(sent), { timeout: 15_000, interval: 200 });
    }
  }

  /** A tool call that nobody has decided yet. */
  async hold(): Promise<string> {
    const key = this.keys.get("plain")!;
    const tools = [{ type: "function", function: { name: "pay" } }];
    const call = { id: `call_${this.sent.get(key.id)}`, name: "pay", arguments: "{}" };
    const asked = { json: completion({ toolCalls: [call] }) };
    upstream.scriptFor(MODEL, asked);
    const answer = await this.chat(key.key, { tools, route: { require_tool_approval: true } });
    const text = await answer.text();
    upstream.scriptFor(MODEL, { json: completion({ text: "hi" }) });
    this.sent.set(key.id, (this.sent.get(key.id) ?? 0) + 1);
    const id = /"ids":\["([^"]+)"/.exec(text)?.[1] ?? "";
    expect(id, text).not.toBe("");
    return id;
  }

  async decide(id: string): Promise<void> {
    const decide = () => this.worker.admin(`/admin/approvals/${id}`, { body: { decision: "approve" } });
    await vi.waitFor(async () => expect((await decide()).status).toBe(200), { timeout: 10_000 });
  }
}

describe.each([
  ["the release before, on this one's state, and this one on what it left", ["this", "before", "this"]],
  ["this release, on the state of the one before, and that one on what it left", ["before", "this", "before"]],
] as const)("%s", (_, order) => {
  // Whose tables the trail has depends on who was the first to have something shipped.
  describe.each([true, false])("(the first one has shipped its traces: %s)", (isShipped) => {
    test("keys, routes, calls that wait and every booked cent go on", async () => {
      const directory = await mkdtemp(join(tmpdir(), "flow-releases-"));
      const deployment = new Deployment(directory);
      try {
        const [first, ...others] = order;
        await deployment.serve(first);
        await deployment.prepare();
        await deployment.drive();
        let held = await deployment.hold();
        if (isShipped) await deployment.expectBooked();
        for (const release of others) {
          // What the last one had not shipped yet is left to this one.
          const traffic = deployment.traffic();
          await new Promise((resolve) => setTimeout(resolve, 300));
          await deployment.serve(release);
          await new Promise((resolve) => setTimeout(resolve, 500));
          expect(await traffic.stop()).toEqual([]);
          if (release === "this") await deployment.prepareLater();
          await deployment.drive();
          await deployment.decide(held);
          held = await deployment.hold();
          await deployment.worker.putRoute("production", "real", { ...ROUTE, description: release });
          await deployment.drive(2);
          await deployment.expectBooked();
          if (release === "before") continue;
          // What the release before booked counts in sums that that one does not know.
          const zoned = deployment.keys.get("zoned")!;
          const shown = (await (await deployment.worker.admin(`/admin/keys/${zoned.id}`)).json()) as {
            spend: { spent_usd: number };
          };
          expect(shown.spend.spent_usd).toBeCloseTo((deployment.sent.get(zoned.id) ?? 0) * COST_USD, 9);
          const sent = [...deployment.sent.values()].reduce((sum, each) => sum + each, 0);
          await vi.waitFor(async () => expect(await deployment.spentOfAll()).toBeCloseTo(sent * COST_USD, 9), 10_000);
        }
        const lines = deployment.worker.logs().split("\n");
        const expected = `"key:${deployment.keys.get("weekly")?.id}"`;
        const unreadable = lines.filter((line) => line.includes("record_unreadable") && !line.includes(expected));
        expect(unreadable).toEqual([]);
        expect(deployment.worker.logs()).not.toMatch(/unexpected_error|SQLITE|has \d+ columns/);
      } finally {
        await deployment.worker?.stop();
        await rm(directory, { recursive: true, force: true });
      }
    });
  });
});

/** The last clock of the request, the minute in which its settlement may still come, and some. */
const LAPSES_WITHIN_MS = 100_000;

describe.concurrent("a reservation that is open when the release changes", () => {
  test.each([
    ["this", "before"],
    ["before", "this"],
  ] as const)("made by %s, is held and then charged at its bound by %s", { timeout: 200_000 }, async (first, next) => {
    const directory = await mkdtemp(join(tmpdir(), "flow-releases-"));
    const deployment = new Deployment(directory);
    try {
      await deployment.start(first);
      const slow = { targets: [{ provider: "openai", model: SLOW_MODEL }], timeouts: { total_ms: 3_000 } };
      await deployment.worker.putRoute("production", "slow", slow);
      const { id, key } = await deployment.worker.createKey({ budget: { limit_usd: 1, period: "total" } });
      const ledger = async () => (await (await deployment.worker.admin(`/admin/keys/${id}/ledger`)).json()) as Json;
      const cut = deployment.chat(key, { model: "flow/slow" }).catch(() => null);
      const open = { consistent: true, open_reservations: 1, reserved_usd: expect.any(Number) };
      await vi.waitFor(async () => expect(await ledger()).toMatchObject(open), { timeout: 10_000, interval: 100 });
      const { reserved_usd: bound } = await ledger();
      expect(bound).toBeGreaterThan(0);
      await deployment.start(next);
      await cut;
      expect(await ledger()).toMatchObject({ ...open, reserved_usd: bound });
      const charged = { consistent: true, open_reservations: 0, reserved_usd: 0, expired: 1, expired_usd: bound };
      const look = { timeout: LAPSES_WITHIN_MS, interval: 1_000 };
      await vi.waitFor(async () => expect(await ledger()).toMatchObject(charged), look);
      expect(await ledger()).toMatchObject({ periods: { total: { spent_usd: bound } } });
    } finally {
      await deployment.worker?.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe("while a deployment is under way, isolates of both releases ask the same objects", () => {
  test.each([
    ["this release's", undefined],
    ["the release before's", "before"],
  ] as const)("of %s: every request is answered, and booked once", async (_, core) => {
    const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
    const releases = { pops: [before.source, undefined], ...(core === undefined ? {} : { core: before.source }) };
    const pops = await startPops(2, vars, [], releases);
    try {
      await pops.admin("/admin/routes/production/real", "PUT", ROUTE);
      const made = Object.entries(KINDS).map(([name, spec]) =>
        pops.admin("/admin/keys", "POST", { name, env: "production", ...spec }),
      );
      for (const { id, key } of await Promise.all(made)) {
        const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
        const body = JSON.stringify({
          model: "flow/real",
          messages: [{ role: "user", content: "hi" }],
          max_tokens: 50,
        });
        const ask = async (at: number): Promise<void> => {
          const answer = await pops.fetch(at % 2, "/v1/chat/completions", { method: "POST", headers, body });
          expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
        };
        for (let at = 0; at < 6; at++) await ask(at);
        await Promise.all(Array.from({ length: 12 }, (__, at) => ask(at)));
        const booked = { consistent: true, open_reservations: 0, expired: 0, lost_traces: 0 };
        const ledger = (): Promise<Json> => pops.admin(`/admin/keys/${id}/ledger`, "GET");
        await vi.waitFor(
          async () =>
            expect(await ledger()).toMatchObject({
              ...booked,
              periods: { total: { requests: 18, spent_usd: expect.closeTo(18 * COST_USD, 9) } },
            }),
          { timeout: 10_000, interval: 200 },
        );
      }
      expect(pops.logs()).not.toMatch(/unexpected_error|SQLITE|is not a function|does not implement/);
    } finally {
      await pops.stop();
    }
  });
});
