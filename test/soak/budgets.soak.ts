/**
 * One budget of an app under a burst: a thousand requests of twenty keys, over four points of presence with isolates of
 * their own. Not a nano-dollar passes it, what it says it has spent is what the keys were charged, and where it has room
 * no request waits for it.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { pricedModel } from "../support/models.ts";
import { type Pops, startPops } from "../support/pops.ts";
import { completion, startUpstream, type Upstream, usage } from "../support/upstream.ts";

const POPS = 4;
const KEYS = 20;
const REQUESTS = 1_000;
const NANO = 1_000_000_000;
/** 100 prompt tokens at 400 nano-USD and 10 of the answer at 1,600. */
const COST_NANO = 56_000;
const LIMIT_USD = 0.02;

let upstream: Upstream;
let pops: Pops;
const model = pricedModel();

beforeAll(async () => {
  upstream = await startUpstream();
  pops = await startPops(POPS, { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` });
  await pops.admin("/admin/routes/production/burst", "PUT", { targets: [{ provider: "openai", model }] });
  upstream.scriptFor(model, { json: completion({ usage: usage(100, 10) }), headMs: 20 });
});
afterAll(async () => {
  expect(pops.logs()).not.toMatch(/unhandled|uncaught|unexpected_error/i);
  await pops.stop();
  await upstream.stop();
});

interface Key {
  readonly id: string;
  readonly key: string;
}

const newKey = async (budget?: object): Promise<Key> =>
  (await pops.admin("/admin/keys", "POST", {
    ...{ name: "burst", env: "production" },
    ...(budget === undefined ? {} : { budget }),
  })) as unknown as Key;

async function ask(pop: number, key: Key, app: string): Promise<number> {
  const response = await pops.fetch(pop, "/v1/chat/completions", {
    method: "POST",
    headers: {
      authorization: `Bearer ${key.key}`,
      "content-type": "application/json",
      "x-flowlayer-app": app,
    },
    body: JSON.stringify({ model: "flow/burst", max_tokens: 100, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  return response.status;
}

interface Audit {
  readonly consistent: boolean;
  readonly open_reservations: number;
  readonly periods: { readonly total: { readonly spent_usd: number } };
}

async function chargedNano(keys: readonly Key[]): Promise<number> {
  let sum = 0;
  for (const { id } of keys) {
    const read = async (): Promise<Audit> => (await pops.admin(`/admin/keys/${id}/ledger`, "GET")) as unknown as Audit;
    await expect.poll(async () => (await read()).open_reservations, { timeout: 20_000 }).toBe(0);
    const audit = await read();
    expect(audit.consistent).toBe(true);
    sum += Math.round(audit.periods.total.spent_usd * NANO);
  }
  return sum;
}

async function statusOf(id: string): Promise<{ readonly spent_usd: number; readonly remaining_usd: number }> {
  const budget = await pops.admin(`/admin/budgets/${id}`, "GET");
  return budget["status"] as { readonly spent_usd: number; readonly remaining_usd: number };
}

test("a burst over many keys and isolates never passes it", { timeout: 240_000 }, async () => {
  const app = "burst";
  await pops.admin(`/admin/budgets/${app}`, "PUT", { scope: { app }, limit_usd: LIMIT_USD, period: "month" });
  const keys = await Promise.all(Array.from({ length: KEYS }, () => newKey()));
  const statuses = await Promise.all(
    Array.from({ length: REQUESTS }, (_, at) => ask(at % POPS, keys[at % KEYS]!, app)),
  );
  const count = (status: number): number => statuses.filter((each) => each === status).length;
  const charged = await chargedNano(keys);
  console.log(`${count(200)} answered, ${count(402)} refused, ${count(503)} without a ledger, ${charged} nano-USD`);
  expect(charged).toBe(count(200) * COST_NANO);
  expect(charged).toBeLessThanOrEqual(LIMIT_USD * NANO);
  expect(count(402)).toBeGreaterThan(0);
  // The rest of it is smaller than what leases hold at their end, and comes back.
  const used = async () => Math.round((await statusOf(app)).spent_usd * NANO);
  await expect.poll(used, { timeout: 20_000 }).toBe(charged);
  // What is left is used up one after the other, from any key.
  let more = 0;
  for (let at = 0; at < 400; at++) if ((await ask(at % POPS, keys[at % KEYS]!, app)) === 200) more++;
  const total = await chargedNano(keys);
  expect(total).toBe(charged + more * COST_NANO);
  expect(total).toBeLessThanOrEqual(LIMIT_USD * NANO);
  console.log(`${more} more one after the other: ${total} of ${LIMIT_USD * NANO} nano-USD`);
});

test("with room, and a ledger far away, a request waits for nobody", { timeout: 120_000 }, async () => {
  const app = "roomy";
  await pops.admin(`/admin/budgets/${app}`, "PUT", { scope: { app }, limit_usd: 1_000, period: "month" });
  upstream.scriptFor(model, { json: completion({ usage: usage(100, 10) }), headMs: 400 });
  const timesOf = async (key: Key, of: string): Promise<number> => {
    for (let at = 0; at < 4; at++) await ask(0, key, of);
    const times: number[] = [];
    for (let at = 0; at < 15; at++) {
      const startedAt = performance.now();
      expect(await ask(0, key, of)).toBe(200);
      times.push(performance.now() - startedAt);
    }
    return times.toSorted((a, b) => a - b)[7] ?? 0;
  };
  await pops.set({ ledgerLinkMs: 200 });
  const [free, met] = [await newKey(), await newKey()];
  const without = await timesOf(free, "other");
  const within = await timesOf(met, app);
  await pops.set({ ledgerLinkMs: 0 });
  console.log(`p50 without a budget ${without.toFixed(0)} ms, with one above the key ${within.toFixed(0)} ms`);
  expect(within - without).toBeLessThan(100);
});
