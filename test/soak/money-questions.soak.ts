/** What finance asks of a year with 1,000 keys, and a repricing of 100,000 charges under traffic. Prints what it took. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SettleRow } from "../../src/ledger/types.ts";
import { archiveName } from "../../src/trace-index/calendar.ts";
import { noCounts, type UsageRow } from "../../src/trace-index/usage.ts";
import { newTraceId } from "../../src/traces/schema.ts";
import { type ChatRig, startChatRig } from "../support/chat.ts";
import { pricedModel } from "../support/models.ts";
import { completion, usage } from "../support/upstream.ts";

const DAY_MS = 86_400_000;
const KEYS = 1_000;
const LEDGERS = 12;
const CHARGES_PER_LEDGER = 9_000;

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
}, 60_000);
afterAll(() => rig.stop());

async function tookMs(
  path: string,
): Promise<{ readonly ms: number; readonly body: { data: unknown[]; total_usd: number } }> {
  const startedAt = performance.now();
  const response = await rig.worker.admin(path);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
  return { ms: performance.now() - startedAt, body: JSON.parse(text) as { data: unknown[]; total_usd: number } };
}

test("a year of 1,000 keys is asked for in less than a second", { timeout: 900_000 }, async () => {
  // An environment is asked for once it has a key.
  await rig.worker.createKey({ env: "production" });
  const { SPEND_ARCHIVE } = rig.worker.bindings();
  const today = new Date();
  const end = Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 1);
  const start = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - 12, 1);
  const place = {
    app: "studio",
    route: "flow/best",
    api: "chat",
    provider: "openai",
    model: "gpt-5",
    status: "ok",
    tags: "{}",
  };
  const rows = Array.from({ length: KEYS }, (_, key): UsageRow => {
    const counts = { ...noCounts(), requests: 10, target_requests: 10, nano_usd: 1_000 + key, prompt_tokens: 5_000 };
    return {
      at: 0,
      place: { ...place, key_id: `key${String(key).padStart(9, "0")}` },
      counts,
      firstToken: [],
      total: [[150, 10]],
    };
  });
  for (let day = start; day < end; day += DAY_MS) {
    await SPEND_ARCHIVE.getByName(archiveName("production", day)).putDay({ day, version: 1, part: 0, parts: 1, rows });
  }
  const days = (end - start) / DAY_MS;
  const span = `since=${new Date(start).toISOString()}&until=${new Date(end).toISOString()}`;
  const total = (days * rows.reduce((sum, { counts }) => sum + counts.nano_usd, 0)) / 1e9;
  for (const query of [
    "group_by=key",
    "group_by=key&bucket=month",
    "group_by=key,model&bucket=month",
    "group_by=app",
  ]) {
    await tookMs(`/admin/spend?${query}&${span}`);
    const { ms, body } = await tookMs(`/admin/spend?${query}&${span}`);
    process.stdout.write(
      `SOAK spend ${query} over ${days} days and ${KEYS} keys: ${Math.round(ms)} ms, ${body.data.length} rows\n`,
    );
    expect(body.total_usd).toBeCloseTo(total, 9);
    expect(ms).toBeLessThan(1_000);
  }
  const csv = performance.now();
  const text = await (await rig.worker.admin(`/admin/spend?group_by=key&bucket=month&format=csv&${span}`)).text();
  process.stdout.write(
    `SOAK spend CSV: ${Math.round(performance.now() - csv)} ms, ${text.split("\r\n").length - 2} rows\n`,
  );
});

test("100,000 charges are repriced while requests go on", { timeout: 900_000 }, async () => {
  const model = pricedModel();
  rig.upstream.scriptFor(model, { json: completion({ usage: usage(1_000, 100) }) });
  const route = await rig.route({
    providers: ["openai"],
    targets: [{ model }],
    key: { budget: { limit_usd: 1_000, period: "day" } },
  });
  const others = await Promise.all(Array.from({ length: LEDGERS - 1 }, () => rig.worker.createKey()));
  const { KEY_LEDGER } = rig.worker.bindings();
  const since = Date.now() - 3_600_000;
  const basis = JSON.stringify({
    ...{ raw: null, row: null, catalog: "", conditions: { provider: "openai", startedAt: since } },
    usage: { promptTokens: 1_000, completionTokens: 100, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 },
  });
  for (const keyId of [route.keyId, ...others.map(({ id }) => id)]) {
    for (let from = 0; from < CHARGES_PER_LEDGER; from += 300) {
      const rows = Array.from({ length: 300 }, (_, at): SettleRow => {
        const startedAt = since + (from + at) * 100;
        const id = newTraceId(keyId, startedAt);
        const trace = {
          id,
          env: "production",
          created_at: new Date(startedAt).toISOString(),
          status: "ok",
          app: "a",
          route: "flow/a",
        };
        const attempt = {
          attempt: 0,
          provider: "openai",
          model,
          winner: true,
          outcome: "ok",
          costNanoUsd: 560_000,
          basis,
          source: "upstream" as const,
        };
        return {
          id,
          status: "ok",
          route: "flow/a",
          trace: JSON.stringify(trace),
          costNanoUsd: 560_000,
          env: "production",
          attempts: [attempt],
          tokens: 1,
          unadmittedNanoUsd: 0,
          startedAt,
          terms: null,
        };
      });
      await KEY_LEDGER.getByName(keyId).settle(rows);
    }
  }
  const waits: number[] = [];
  const ask = async (): Promise<void> => {
    const startedAt = performance.now();
    const response = await rig.ask(route, { max_tokens: 10 });
    await response.text();
    expect(response.status).toBe(200);
    waits.push(performance.now() - startedAt);
  };
  const quantile = (share: number): number =>
    Math.round(waits.toSorted((a, b) => a - b)[Math.floor(waits.length * share)] ?? 0);
  for (let at = 0; at < 100; at++) await ask();
  const before = [quantile(0.5), quantile(0.99)];
  waits.length = 0;
  const startedAt = performance.now();
  const body = {
    provider: "openai",
    model,
    since: new Date(since - 1_000).toISOString(),
    price: { input: 0.8, output: 3.2 },
  };
  const { id } = (await (await rig.worker.admin("/admin/spend/reprice", { body })).json()) as { id: string };
  let state: { status: string; charges: number; difference_usd: number };
  do {
    await ask();
    state = (await (await rig.worker.admin(`/admin/spend/reprice/${id}`)).json()) as typeof state;
  } while (state.status === "running");
  const seconds = (performance.now() - startedAt) / 1_000;
  process.stdout.write(
    `SOAK reprice ${state.charges} charges of ${LEDGERS} keys: ${seconds.toFixed(1)} s; a budgeted request p50/p99 ${before.join("/")} ms before, ${quantile(0.5)}/${quantile(0.99)} ms meanwhile (${waits.length}), longest ${quantile(1 - 1 / waits.length)} ms\n`,
  );
  expect(state.status).toBe("done");
  expect(state.charges).toBeGreaterThanOrEqual(LEDGERS * CHARGES_PER_LEDGER);
  for (const keyId of [route.keyId, ...others.map(({ id }) => id)]) {
    expect((await KEY_LEDGER.getByName(keyId).audit()).isConsistent).toBe(true);
  }
});
