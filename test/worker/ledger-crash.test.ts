/** Ledgers on disk: what a killed Worker leaves behind, and what the version before has written. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Reservation, SettleRow } from "../../src/ledger/types.ts";
import { newTraceId, type Trace } from "../../src/traces/schema.ts";
import { pricedModel } from "../support/models.ts";
import { completion, startUpstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ledger-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const OLD_KEY = "ledgerold001";
const CRASH_KEY = "ledgercrash1";
const BUDGET = { limit_usd: 0.0001, period: "total" as const };

/** The ledger of the version before, as far as it writes: its tables, and one settled request. */
const OLD_FRONT = `
import { DurableObject } from "cloudflare:workers";
import app from "./index.js";
export * from "./index.js";
export class KeyLedger extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(\`
      CREATE TABLE IF NOT EXISTS trace (
        id TEXT PRIMARY KEY, settled_at INTEGER NOT NULL, status TEXT NOT NULL, route TEXT NOT NULL, body TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS spend (
        period TEXT PRIMARY KEY, nano_usd INTEGER NOT NULL, requests INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS ledger (
        singleton INTEGER PRIMARY KEY CHECK (singleton = 1), revoked INTEGER NOT NULL, trimmed_traces INTEGER NOT NULL
      ) STRICT;
      INSERT OR IGNORE INTO ledger VALUES (1, 0, 0);\`);
  }
  async settle([row]) {
    const { sql } = this.ctx.storage;
    const day = new Date().toISOString().slice(0, 10);
    sql.exec("INSERT INTO trace VALUES (?, ?, ?, ?, ?)", row.id, Date.now(), row.status, row.route, row.trace);
    for (const period of [day, day.slice(0, 7), "total"]) {
      sql.exec("INSERT INTO spend VALUES (?, ?, 1, 0)", period, row.costNanoUsd);
    }
    await this.ctx.storage.setAlarm(Date.now() + 86400000);
    return { revoked: false };
  }
  async alarm() {}
}
export default app;
`;

function row(keyId: string, costNanoUsd: number, members: Partial<SettleRow> = {}): SettleRow {
  const id = members.id ?? newTraceId(keyId, Date.now());
  const known = { id, status: "ok", route: "flow/a", env: "production", created_at: new Date().toISOString() };
  const attempt = { attempt: 0, provider: "openai", model: "gpt-5", winner: true, outcome: "ok", costNanoUsd };
  return {
    ...{ id, status: known.status, route: known.route, trace: JSON.stringify(known), costNanoUsd, env: known.env },
    attempts: [{ ...attempt, basis: "{}", source: "upstream" }],
    ...{ tokens: 10, unadmittedNanoUsd: 0, startedAt: Date.now(), terms: null, ...members },
  };
}

const hold = (keyId: string, members: Partial<Reservation> = {}): Reservation => ({
  ...{ traceId: newTraceId(keyId, Date.now()), attempt: 0, boundNanoUsd: 1_000, boundTokens: 50 },
  ...{ expiresAt: Date.now() + 600_000, provider: "openai", model: "gpt-5" },
  ...{ terms: { version: 1, budget: BUDGET, limits: { requests_per_minute: 1_000 } }, ...members },
});

test("a ledger of the version before keeps its spend and goes on", async () => {
  const old = row(OLD_KEY, 60_000);
  const before = await startWorker({ persist: directory, front: OLD_FRONT });
  await before.bindings().KEY_LEDGER.getByName(OLD_KEY).settle([old]);
  await before.stop();

  const worker = await startWorker({ persist: directory });
  const ledger = worker.bindings().KEY_LEDGER.getByName(OLD_KEY);
  expect(await ledger.spend(BUDGET)).toMatchObject({ spentNanoUsd: 60_000, requests: 1 });
  // Sent again, as its sender may have lost the answer.
  await ledger.settle([old]);
  expect(await ledger.reserve(hold(OLD_KEY, { boundNanoUsd: 40_001 }))).toMatchObject({ reason: "budget" });
  const last = hold(OLD_KEY, { boundNanoUsd: 40_000 });
  expect(await ledger.reserve(last)).toMatchObject({ ok: true, remainingNanoUsd: 0 });
  await ledger.settle([row(OLD_KEY, 5_000, { id: last.traceId })]);
  expect(await ledger.audit()).toMatchObject({
    ...{ isConsistent: true, openReservations: 0, total: { spentNanoUsd: 65_000, requests: 2 } },
  });
  expect((await ledger.trace(old.id))?.id).toBe(old.id);
  await worker.stop();
});

test("a Worker killed under load has held all that it granted, and nobody's settlement is lost or doubled", async () => {
  const before = await startWorker({ persist: directory });
  const { KEY_LEDGER } = before.bindings();
  const granted: Reservation[] = [];
  const booked: string[] = [];
  const requests = Array.from({ length: 150 }, async (_, index) => {
    // The last ones expire unsettled.
    const held = hold(CRASH_KEY, index < 100 ? {} : { expiresAt: Date.now() + 3_000 });
    const answer = await KEY_LEDGER.getByName(CRASH_KEY).reserve(held);
    if (!answer.ok) return;
    granted.push(held);
    if (index % 3 > 0 || index >= 100) return;
    await KEY_LEDGER.getByName(CRASH_KEY).settle([row(CRASH_KEY, 400, { id: held.traceId })]);
    booked.push(held.traceId);
  });
  const over = Promise.allSettled(requests);
  await expect.poll(() => booked.length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(5);
  await before.stop();
  await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 1_000))]);
  const [grantedBefore, bookedBefore] = [[...granted], [...booked]];

  const worker = await startWorker({ persist: directory });
  const ledger = worker.bindings().KEY_LEDGER.getByName(CRASH_KEY);
  const found = await ledger.audit();
  expect(found.isConsistent).toBe(true);
  expect(found.total.requests).toBeGreaterThanOrEqual(bookedBefore.length);
  expect(found.openReservations + found.total.requests + found.expired).toBeGreaterThanOrEqual(grantedBefore.length);
  expect(found.total.spentNanoUsd + found.reservedNanoUsd).toBeLessThanOrEqual(100_000);
  // Everything that was granted is settled now, what was settled already once more.
  const rows = grantedBefore.map(({ traceId }) => row(CRASH_KEY, 400, { id: traceId }));
  await ledger.settle(rows);
  await expect.poll(async () => (await ledger.audit()).unshippedTraces, { timeout: 6_000 }).toBe(0);
  const after = await ledger.audit();
  expect(after.isConsistent).toBe(true);
  expect(after.total.requests).toBeGreaterThanOrEqual(grantedBefore.length);
  expect(after.total.spentNanoUsd).toBe(after.total.requests * 400 + after.expiredNanoUsd);
  await worker.stop();
});

/** Reservations are good for a second, in place of minutes. */
const HASTY_FRONT = `
import app, { KeyLedger as Ledger } from "./index.js";
export * from "./index.js";
const hasty = (reservation) => ({ ...reservation, expiresAt: Date.now() + 1000 });
export class KeyLedger extends Ledger {
  reserve(reservation) { return super.reserve(hasty(reservation)); }
  reserveAll(reservations) { return super.reserveAll(reservations.map(hasty)); }
}
export default app;
`;

interface Spend {
  readonly data: readonly {
    readonly group: { readonly key: string };
    readonly requests: number;
    readonly cost_usd: number;
  }[];
  readonly total_usd: number;
}

test("what a killed Worker had held is in traces and /admin/spend to the nano-dollar, and is put right when it is settled", async () => {
  const upstream = await startUpstream();
  const vars = { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
  const before = await startWorker({ persist: directory, front: HASTY_FRONT, vars });
  const model = pricedModel();
  await before.putRoute("production", "held", { targets: [{ provider: "openai", model }] });
  const key = await before.createKey({ budget: { limit_usd: 10, period: "total" } });
  const ask = (worker: TestWorker): Promise<Response> =>
    worker.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "flow/held", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
    });
  upstream.script([{ json: completion() }, { hang: true }]);
  expect((await ask(before)).status).toBe(200);
  const books = async () => before.bindings().KEY_LEDGER.getByName(key.id).spend(null);
  await expect.poll(async () => (await books()).requests, { timeout: 5_000 }).toBe(1);
  const held = ask(before).catch(() => null);
  // A reservation beside its call may come after it.
  await expect.poll(async () => (await books()).reservedNanoUsd, { timeout: 1_000, interval: 5 }).toBeGreaterThan(0);
  await before.stop();
  await held;
  await upstream.stop();

  const worker = await startWorker({ persist: directory, vars });
  const ledger = worker.bindings().KEY_LEDGER.getByName(key.id);
  const audit = async () => ledger.audit();
  const spendOf = async (group: string): Promise<Spend> =>
    (await (await worker.admin(`/admin/spend?group_by=${group}`)).json()) as Spend;
  const ofKey = async (): Promise<unknown> => {
    const row = (await spendOf("key")).data.find((each) => each.group.key === key.id);
    return { requests: row?.requests, nanoUsd: Math.round((row?.cost_usd ?? 0) * 1e9) };
  };
  const tracesOf = async (): Promise<readonly Trace[]> => {
    const list = await (await worker.admin(`/admin/traces?key=${key.id}`)).json();
    return (list as { data: readonly Trace[] }).data;
  };

  await expect.poll(async () => (await audit()).expired, { timeout: 8_000 }).toBe(1);
  await expect.poll(async () => (await audit()).unshippedTraces, { timeout: 8_000 }).toBe(0);
  const swept = await audit();
  expect(swept).toMatchObject({ isConsistent: true, reservedNanoUsd: 0, total: { requests: 2 } });
  expect(swept.expiredNanoUsd).toBeGreaterThan(0);
  expect(await ofKey()).toEqual({ requests: 2, nanoUsd: swept.total.spentNanoUsd });
  const [unsettled] = await tracesOf();
  expect(unsettled).toMatchObject({
    ...{ key_id: key.id, env: "production", app: "default", route: "flow/held", route_version: 1, stream: false },
    ...{ status: "error", error_code: "unsettled", cost_usd: swept.expiredNanoUsd / 1e9 },
    attempts: [{ provider: "openai", model, outcome: "unsettled", cost_usd: swept.expiredNanoUsd / 1e9 }],
  });
  const own = await worker.fetch(`/v1/traces/${unsettled?.id}`, { headers: { authorization: `Bearer ${key.key}` } });
  expect(await own.json()).toEqual(unsettled);

  // The settlement has only been late.
  const attempts = [{ ...unsettled?.attempts[0], outcome: "ok", winner: true, cost_usd: 0.000_000_4 }];
  const trace = { ...unsettled, status: "ok", error_code: undefined, attempts, cost_usd: 0.000_000_4 };
  await ledger.settle([row(key.id, 400, { id: unsettled?.id ?? "", trace: JSON.stringify(trace) })]);
  await expect.poll(async () => (await audit()).unshippedTraces, { timeout: 8_000 }).toBe(0);
  const after = await audit();
  expect(after).toMatchObject({ isConsistent: true, expired: 0, expiredNanoUsd: 0 });
  expect(after.total.spentNanoUsd).toBe(swept.total.spentNanoUsd - swept.expiredNanoUsd + 400);
  expect(await ofKey()).toEqual({ requests: 2, nanoUsd: after.total.spentNanoUsd });
  expect((await tracesOf()).map(({ status }) => status)).toEqual(["ok", "ok"]);
  await worker.stop();
});
