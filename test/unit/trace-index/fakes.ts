/** A real SQLite under the trail's store, objects of the trail by name, and traces for them. */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import * as fc from "fast-check";
import { parseTrailName, type TrailDay, trailName } from "../../../src/trace-index/calendar.ts";
import { type StoreLimits, TrailStore } from "../../../src/trace-index/store/store.ts";
import type { DayUsageQuery } from "../../../src/trace-index/store/store-usage.ts";
import { migrate } from "../../../src/trace-index/trace-index-schema.sql.ts";
import type { TrailIndex } from "../../../src/trace-index/trail-index.ts";
import type { DayEvidenceQuery, DayListQuery, DIMENSIONS, TrailRow } from "../../../src/trace-index/types.ts";
import type { Trace, TraceAttempt, TraceStatus } from "../../../src/traces/schema.ts";
import { newTraceId, TRACE_STATUSES } from "../../../src/traces/schema.ts";

/** The part of the platform's interface that the store uses. */
export function startSql(): SqlStorage {
  const database = new DatabaseSync(":memory:");
  const exec = (query: string, ...bindings: SQLInputValue[]) => {
    if (bindings.length === 0 && /;\s*\S/.test(query)) {
      database.exec(query);
      return cursorOf([]);
    }
    return cursorOf(database.prepare(query).all(...bindings));
  };
  return { exec } as unknown as SqlStorage;
}

/** Tables as release 0.2.0 made them for a new day: a table of traces, two indexes and a table of JSON. */
export function startSplitSql(): SqlStorage {
  const sql = startSql();
  migrate(sql);
  sql.exec("INSERT INTO trail (singleton, day_start_at, bodies_since, bodies) VALUES (1, ?, 0, 0)", TODAY);
  return sql;
}

function cursorOf(rows: readonly unknown[]) {
  const one = (): unknown => {
    if (rows.length !== 1) throw new Error(`Expected exactly one row, found ${rows.length}.`);
    return rows[0];
  };
  return { toArray: () => rows, one, [Symbol.iterator]: () => rows[Symbol.iterator]() };
}

/** Sunday, 22 November 2026. */
export const TODAY = Date.UTC(2026, 10, 22);
export const DAY: TrailDay = { env: "production", startAt: TODAY };
export const KEY_IDS = ["trailtest001", "trailtest002", "trailtest003"] as const;

export function attempt(spec: Partial<TraceAttempt> = {}): TraceAttempt {
  return {
    provider: "openai",
    model: "gpt-4o-mini",
    outcome: "ok",
    status: 200,
    started_ms: 3,
    first_token_ms: 200,
    duration_ms: 900,
    hedged: false,
    winner: true,
    cost_usd: 0.000_001,
    ...spec,
  };
}

export interface TraceSpec extends Partial<Omit<Trace, "created_at" | "latency">> {
  readonly at?: number;
  readonly firstTokenMs?: number | null;
  readonly totalMs?: number;
}

/** A trace of noon today whose cost is that of its attempts. */
export function makeTrace(spec: TraceSpec = {}): Trace {
  const { at = TODAY + 43_200_000, firstTokenMs = 200, totalMs = 900, ...members } = spec;
  const key_id = spec.key_id ?? KEY_IDS[0];
  const attempts = spec.attempts ?? [attempt()];
  const costs = attempts.map(({ cost_usd }) => cost_usd);
  const winner = attempts.find((each) => each.winner);
  return {
    id: newTraceId(key_id, at),
    created_at: new Date(at).toISOString(),
    key_id,
    env: "production",
    app: "studio",
    route: "flow/best-reasoning",
    route_version: 1,
    stream: true,
    status: "ok",
    http_status: 200,
    provider: winner?.provider ?? null,
    model: winner?.model ?? null,
    fallback: false,
    attempts,
    latency: { first_token_ms: firstTokenMs, total_ms: totalMs, budget_ms: null, budget_met: null },
    usage: {
      prompt_tokens: 10,
      completion_tokens: 5,
      cached_tokens: 0,
      cache_write_tokens: 0,
      reasoning_tokens: 0,
      source: "upstream",
    },
    cost_usd: costs.some((cost) => cost === null) ? null : costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0),
    tool_calls: [],
    tags: {},
    client_request_id: null,
    ...members,
  };
}

let seq = 0;

export const toRow = (trace: Trace, unadmittedNanoUsd = 0): TrailRow => {
  return { seq: ++seq, trace: JSON.stringify(trace), unadmittedNanoUsd };
};

/** Any attempt of a few providers and models, whose prices are sometimes unknown. */
const anyAttempt: fc.Arbitrary<TraceAttempt> = fc
  .record({
    provider: fc.constantFrom("openai", "anthropic", "groq"),
    model: fc.constantFrom("small", "large"),
    outcome: fc.constantFrom("ok", "cancelled", "timeout", "server_error", "slow"),
    hedged: fc.boolean(),
    winner: fc.boolean(),
    cost_usd: fc.option(
      fc.integer({ min: 0, max: 9_000_000_000 }).map((nano) => nano / 1e9),
      { freq: 8 },
    ),
  })
  .map(attempt);

/** Any trace of one day, with few enough names that many fall together. */
export const traceOf = (startAt: number, env = "production"): fc.Arbitrary<Trace> =>
  fc
    .record({
      // Often the same millisecond, and often the edge of a slot.
      at: fc
        .oneof(fc.integer({ min: 0, max: 86_399_999 }), fc.constantFrom(0, 599_999, 600_000, 43_200_000, 86_399_999))
        .map((ms) => startAt + ms),
      env: fc.constant(env),
      key_id: fc.constantFrom(...KEY_IDS),
      app: fc.constantFrom("studio", "console"),
      route: fc.constantFrom("flow/best-reasoning", "flow/fast-eval", "openai/gpt-4o"),
      route_version: fc.integer({ min: 1, max: 2 }),
      status: fc.constantFrom<TraceStatus>(...TRACE_STATUSES.filter((status) => status !== "refused")),
      error_code: fc.constantFrom("upstream_failed", "rate_limit_exceeded", "ledger_unavailable"),
      fallback: fc.boolean(),
      attempts: fc.array(anyAttempt, { maxLength: 4 }),
      firstTokenMs: fc.option(fc.integer({ min: 0, max: 60_000 })),
      totalMs: fc.integer({ min: 0, max: 600_000 }),
    })
    .map(makeTrace);

export type SpendGroup = (typeof DIMENSIONS)[number];
export const SPEND_GROUPS = ["key", "app", "env", "route", "provider", "model"] as const;

export interface SpendTotal {
  readonly requests: number;
  readonly nanoUsd: number;
  readonly unpricedRequests: number;
  readonly unadmittedNanoUsd: number;
}

export interface DaySpend {
  /** By name. */
  readonly groups: readonly (Omit<SpendTotal, "unadmittedNanoUsd"> & { readonly name: string })[];
  readonly total: SpendTotal;
}

/** What a part of a day has spent, in groups and in all. */
export function spendOf(
  store: TrailStore,
  { groupBy, since, until }: { readonly groupBy: SpendGroup; readonly since: number; readonly until: number },
  day: TrailDay,
): DaySpend {
  const plain = { bucketMs: null, withRefused: false, withLatency: false, since, until };
  const groups = store.usage({ ...plain, groupBy: [groupBy] }, day).map(({ group, counts }) => ({
    name: group[0] ?? day.env,
    requests: counts.requests,
    nanoUsd: counts.nano_usd,
    unpricedRequests: counts.unpriced,
  }));
  const [total] = store.usage({ ...plain, groupBy: [] }, day);
  return {
    groups: groups.filter(({ requests }) => requests > 0).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    total: {
      requests: total?.counts.requests ?? 0,
      nanoUsd: total?.counts.nano_usd ?? 0,
      unpricedRequests: total?.counts.unpriced ?? 0,
      unadmittedNanoUsd: total?.counts.unadmitted_nano_usd ?? 0,
    },
  };
}

export interface FakeTrails {
  readonly namespace: DurableObjectNamespace<TrailIndex>;
  /** Names of the objects that were asked, in order. */
  readonly asked: string[];
  /** Before a call is answered; throw or hang to fail it. */
  onCall: (name: string) => Promise<void>;
  /** Hands traces to the objects they belong to. */
  ingest(traces: readonly Trace[]): void;
  /** Calls under way at the same time, at most. */
  mostAtOnce(): number;
}

export function fakeTrails(limits?: StoreLimits): FakeTrails {
  const stores = new Map<string, TrailStore>();
  const storeOf = (name: string): TrailStore => {
    const store = stores.get(name) ?? new TrailStore(startSql(), limits);
    stores.set(name, store);
    return store;
  };
  let running = 0;
  let most = 0;
  const call = async <T>(name: string, work: (store: TrailStore, day: TrailDay) => T): Promise<T> => {
    fake.asked.push(name);
    most = Math.max(most, ++running);
    try {
      await fake.onCall(name);
      const day = parseTrailName(name);
      if (day === null) throw new Error(`Nobody has the name ${name}.`);
      return work(storeOf(name), day);
    } finally {
      running--;
    }
  };
  const getByName = (name: string) => ({
    list: (query: DayListQuery) => call(name, (store, day) => store.list(query, day)),
    usage: (query: DayUsageQuery) => call(name, (store, day) => store.usage(query, day)),
    evidence: (query: DayEvidenceQuery) => call(name, (store, day) => store.evidence(query, day)),
  });
  const fake: FakeTrails = {
    // The client calls nothing else of a namespace.
    namespace: { getByName } as unknown as DurableObjectNamespace<TrailIndex>,
    asked: [],
    onCall: async () => {},
    ingest(traces) {
      for (const trace of traces) {
        const name = trailName(trace.env, Date.parse(trace.created_at));
        const day = parseTrailName(name);
        if (day === null) throw new Error(`A trace of ${name}.`);
        storeOf(name).ingest({ keyId: trace.key_id, rows: [toRow(trace)] }, day);
      }
    },
    mostAtOnce: () => most,
  };
  return fake;
}
