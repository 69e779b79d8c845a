/**
 * A deployment goes back to the release before, and forth again, with the state that the other one wrote: every key goes
 * on working, no request is lost, and what one booked the other one knows.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

const KEPT = new URL(".", import.meta.url).pathname;
const MODEL = "gpt-4.1-mini";
const ROUTE = { targets: [{ provider: "openai", model: MODEL }], tools: { wait_ms: 0 } };
/** Keys of every kind that both releases know. */
const KINDS: Readonly<Record<string, object>> = {
  plain: {},
  daily: { budget: { limit_usd: 1, period: "day" } },
  monthly: { budget: { limit_usd: 1, period: "month" } },
  total: { budget: { limit_usd: 1, period: "total" }, apps: ["web"], routes: ["real"] },
  limited: { limits: { requests_per_minute: 1000, tokens_per_minute: 1_000_000, concurrency: 50 } },
};

let upstream: Upstream;
let before: { readonly tag: string; readonly source: string };

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.scriptFor(MODEL, { json: completion({ text: "hi" }) });
  const tags = (await readdir(KEPT, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  const tag = tags.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? "";
  before = { tag, source: gunzipSync(await readFile(join(KEPT, tag, "worker.js.gz"))).toString() };
});
afterAll(() => upstream.stop());

type Release = "before" | "this";

/** A deployment whose state outlives the release that serves it. */
class Deployment {
  readonly #directory: string;
  readonly keys = new Map<string, CreatedKey>();
  /** Requests that were answered with 200, by key id. */
  readonly sent = new Map<string, number>();
  worker!: TestWorker;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async serve(release: Release): Promise<void> {
    await this.worker?.stop();
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
    for (const { id, key } of this.keys.values()) {
      const answers = await Promise.all(Array.from({ length: times }, () => this.chat(key)));
      for (const answer of answers) expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
      this.sent.set(id, (this.sent.get(id) ?? 0) + times);
    }
  }

  /** Every request that was ever answered is booked. A platform lets a request finish that way before its isolate goes. */
  async settled(): Promise<void> {
    for (const { id } of this.keys.values()) {
      const sent = this.sent.get(id) ?? 0;
      const ledger = async () => (await (await this.worker.admin(`/admin/keys/${id}/ledger`)).json()) as never;
      await vi.waitFor(
        async () =>
          expect(await ledger()).toMatchObject({
            ...{ consistent: true, open_requests: 0, open_reservations: 0, lost_traces: 0 },
            periods: { total: { requests: sent, spent_usd: expect.closeTo(sent * 0.000012, 9) } },
          }),
        { timeout: 15_000, interval: 200 },
      );
    }
  }

  /** Every request that was ever answered is booked, and is in the key's traces and in the trail. */
  async expectBooked(): Promise<void> {
    await this.settled();
    for (const { id, key } of this.keys.values()) {
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
          await deployment.settled();
          // What the last one had not shipped yet is left to this one.
          await deployment.serve(release);
          await deployment.drive();
          await deployment.decide(held);
          held = await deployment.hold();
          await deployment.worker.putRoute("production", "real", { ...ROUTE, description: release });
          await deployment.drive(2);
          await deployment.expectBooked();
        }
        expect(deployment.worker.logs()).not.toMatch(/unexpected_error|SQLITE|record_unreadable|has \d+ columns/);
      } finally {
        await deployment.worker?.stop();
        await rm(directory, { recursive: true, force: true });
      }
    });
  });
});
