/** One day against the plainest model of it: a list of traces, added up again for every question. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DAY_MS, SLOT_MS } from "../../../src/trace-index/calendar.ts";
import { errorsOf, factsOf, isEvidence, type TraceFacts } from "../../../src/trace-index/counted-trace.ts";
import { comparePositions } from "../../../src/trace-index/cursor.ts";
import { bucketOf, mergeHistograms } from "../../../src/trace-index/histogram.ts";
import { TrailStore } from "../../../src/trace-index/store/store.ts";
import { facetsOfDay } from "../../../src/trace-index/store/store-facets.ts";
import { layoutOf } from "../../../src/trace-index/store/store-layout.ts";
import { facetsIn } from "../../../src/trace-index/store/store-list.ts";
import type { TraceFilter, TrailRow } from "../../../src/trace-index/types.ts";
import { type FacetRow, toFacets } from "../../../src/traces/filter.ts";
import type { Trace } from "../../../src/traces/schema.ts";
import { tries } from "../../support/tries.ts";
import {
  attempt,
  DAY,
  type DaySpend,
  KEY_IDS,
  makeTrace,
  SPEND_GROUPS,
  type SpendGroup,
  spendOf,
  startSplitSql,
  startSql,
  TODAY,
  toRow,
  traceOf,
} from "./fakes.ts";

const ROOMY = { bodies: 10_000, slack: 100, answerLength: 1_000_000, names: 2_000, rows: 50_000 };

const newStore = (limits = ROOMY): TrailStore => new TrailStore(startSql(), limits);
/** Objects as they are made now, and as release 0.2.0 made them. */
const LAYOUTS = { clustered: startSql, split: startSplitSql } as const;
const anyLayout = fc.constantFrom(...(["clustered", "split"] as const));

/** As ledgers send them: each key for itself. */
function feed(store: TrailStore, traces: readonly Trace[], toRows: (trace: Trace) => TrailRow = toRow): number[] {
  return [...Map.groupBy(traces, ({ key_id }) => key_id)].flatMap(([keyId, own]) =>
    store.ingest({ keyId, rows: own.map(toRows) }, DAY),
  );
}

const factsIn = (traces: readonly Trace[]): TraceFacts[] =>
  traces.map((trace) => factsOf(trace, trace.key_id)).filter((facts) => facts !== null);

const unadmittedOf = (trace: Trace): number => trace.attempts.length * 11;

/** What a request adds to the groups of a dimension: each attempt's cost is its own provider's and model's. */
function sharesOf({ keyId, app, env, route, attempts }: TraceFacts, groupBy: SpendGroup) {
  const whole = { key: keyId, app, env, route, api: "chat", provider: "", model: "" }[groupBy];
  const nameOf = (each: TraceFacts["attempts"][number]): string =>
    groupBy === "provider" || groupBy === "model" ? each[groupBy] : whole;
  const byTarget = groupBy === "provider" || groupBy === "model";
  const names = byTarget ? new Set(attempts.map(nameOf)) : [whole];
  return [...names].map((name) => {
    const own = attempts.filter((each) => nameOf(each) === name);
    const nanoUsd = own.reduce((sum, each) => sum + (each.nanoUsd ?? 0), 0);
    return { name, nanoUsd, isUnpriced: own.some((each) => each.nanoUsd === null) };
  });
}

/** What `spendOf` must answer. */
function spendModel(traces: readonly Trace[], groupBy: SpendGroup, since: number, until: number): DaySpend {
  const inside = traces.filter(({ created_at }) => Date.parse(created_at) >= since && Date.parse(created_at) < until);
  const groups = new Map<string, { name: string; requests: number; nanoUsd: number; unpricedRequests: number }>();
  let [nanoUsd, unpricedRequests] = [0, 0];
  for (const facts of factsIn(inside)) {
    for (const share of sharesOf(facts, groupBy)) {
      const group = groups.get(share.name) ?? { name: share.name, requests: 0, nanoUsd: 0, unpricedRequests: 0 };
      group.requests++;
      group.nanoUsd += share.nanoUsd;
      group.unpricedRequests += share.isUnpriced ? 1 : 0;
      groups.set(share.name, group);
    }
    for (const each of facts.attempts) nanoUsd += each.nanoUsd ?? 0;
    unpricedRequests += facts.attempts.some((each) => each.nanoUsd === null) ? 1 : 0;
  }
  const unadmittedNanoUsd = inside.reduce((sum, trace) => sum + unadmittedOf(trace), 0);
  return {
    groups: [...groups.values()].sort(byName),
    total: { requests: inside.length, nanoUsd, unpricedRequests, unadmittedNanoUsd },
  };
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);

/** What `list` must answer. */
function listModel(traces: readonly Trace[], filter: TraceFilter): string[] {
  return traces
    .map((trace) => ({ trace, id: trace.id, createdAt: Date.parse(trace.created_at) }))
    .filter(({ createdAt }) => createdAt >= (filter.since ?? 0) && createdAt < (filter.until ?? Infinity))
    .filter(({ trace }) =>
      (["app", "route", "provider", "status"] as const).every((name) => (filter[name] ?? trace[name]) === trace[name]),
    )
    .filter(({ trace }) => (filter.key ?? trace.key_id) === trace.key_id)
    .sort(comparePositions)
    .map(({ id }) => id);
}

const traces = fc.array(traceOf(TODAY), { minLength: 1, maxLength: 30 });
/** Inside the day, at its edges, on slots, and beyond. */
const moment = fc.oneof(
  fc.integer({ min: TODAY - DAY_MS, max: TODAY + 2 * DAY_MS }),
  fc.integer({ min: -2, max: 146 }).map((slot) => TODAY + slot * SLOT_MS),
  fc.constantFrom(TODAY, TODAY + DAY_MS, TODAY + 600_001),
);

describe("whatever is sent, how often, and in which order", () => {
  const sent = traces.chain((all) =>
    fc.record({
      all: fc.constant(all),
      // Each at least once; some again, in later batches.
      order: fc
        .array(fc.nat(all.length - 1), { maxLength: 40 })
        .map((again) => [...all.keys(), ...again])
        .chain((order) =>
          fc.shuffledSubarray(
            order.map((at, turn) => ({ at, turn })),
            { minLength: order.length },
          ),
        ),
    }),
  );

  test("each trace counts once in every sum, for any part of the day", () => {
    fc.assert(
      fc.property(
        sent,
        fc.constantFrom(...SPEND_GROUPS),
        moment,
        moment,
        anyLayout,
        (sentTraces, groupBy, since, until, layout) => {
          const { all, order } = sentTraces;
          const store = new TrailStore(LAYOUTS[layout](), ROOMY);
          const batches = Map.groupBy(order, ({ turn }) => turn % 7);
          for (const batch of batches.values()) {
            const rows = batch.flatMap(({ at }) => all[at] ?? []);
            feed(store, rows, (trace) => toRow(trace, unadmittedOf(trace)));
          }
          const { groups, total } = spendOf(store, { groupBy, since, until }, DAY);
          expect({ groups: groups.toSorted(byName), total }).toEqual(spendModel(all, groupBy, since, until));
        },
      ),
      { numRuns: tries(150) },
    );
  });

  test("names beyond the limit fall into one group, the sums stay exact, and nobody's name is lost by a restart", () => {
    const sql = startSql();
    const store = new TrailStore(sql, { ...ROOMY, names: 2 });
    const apps = ["a", "b", "c", "a", "d"];
    feed(
      store,
      apps.map((app, minute) => makeTrace({ app, at: TODAY + minute * 60_000 })),
    );
    const spends = { since: TODAY, until: TODAY + 86_400_000 };
    const groupsOf = (from: TrailStore, span: { since: number; until: number }) =>
      spendOf(from, { groupBy: "app", ...span }, DAY).groups.map(({ name, requests, nanoUsd }) => [
        name,
        requests,
        nanoUsd,
      ]);
    const whole = [
      ["(other)", 2, 2_000],
      ["a", 2, 2_000],
      ["b", 1, 1_000],
    ];
    expect(groupsOf(store, spends).toSorted()).toEqual(whole);
    // Less than an hour is added up trace by trace.
    expect(groupsOf(store, { since: TODAY, until: TODAY + 120_001 }).toSorted()).toEqual([
      ["(other)", 1, 1_000],
      ["a", 1, 1_000],
      ["b", 1, 1_000],
    ]);
    const later = new TrailStore(sql, { ...ROOMY, names: 2 });
    feed(later, [makeTrace({ app: "c" }), makeTrace({ app: "a" })]);
    expect(groupsOf(later, spends).toSorted()).toEqual([
      ["(other)", 3, 3_000],
      ["a", 3, 3_000],
      ["b", 1, 1_000],
    ]);
  });

  test("each request counts once as evidence of its version", () => {
    fc.assert(
      fc.property(sent, moment, ({ all, order }, since) => {
        const store = newStore();
        for (const { at } of order) feed(store, all[at] === undefined ? [] : [all[at]]);
        const from = Math.floor(since / SLOT_MS) * SLOT_MS;
        const own = factsIn(all).filter((facts) => {
          const isWanted = facts.route === "flow/fast-eval" && facts.routeVersion === 2 && facts.createdAt >= from;
          return isWanted && isEvidence(facts);
        });
        const good = own.filter(({ status }) => status === "ok");
        const histogram = (durations: readonly (number | null)[]) =>
          mergeHistograms(durations.flatMap((ms) => (ms === null ? [] : [[[bucketOf(ms), 1] as const]])));
        const priced = own.filter(({ attempts }) => attempts.every(({ nanoUsd }) => nanoUsd !== null));
        const counts = store.evidence({ route: "flow/fast-eval", version: 2, since }, DAY);
        expect({ ...counts, errors: counts.errors.reduce((sum, { count }) => sum + count, 0) }).toEqual({
          requests: own.length,
          succeeded: good.length,
          fallbacks: own.filter(({ fallback }) => fallback).length,
          hedged: own.filter(({ attempts }) => attempts.some(({ hedged }) => hedged)).length,
          priced: priced.length,
          nanoUsd: priced.flatMap(({ attempts }) => attempts).reduce((sum, { nanoUsd }) => sum + (nanoUsd ?? 0), 0),
          firstToken: histogram(good.map(({ firstTokenMs }) => firstTokenMs)),
          total: histogram(good.map(({ totalMs }) => totalMs)),
          errors: own.flatMap(errorsOf).length,
        });
      }),
      { numRuns: tries(150) },
    );
  });
});

describe("the list", () => {
  const filter: fc.Arbitrary<TraceFilter> = fc.record(
    {
      app: fc.constantFrom("studio", "console", "nobody"),
      route: fc.constantFrom("flow/best-reasoning", "openai/gpt-4o"),
      provider: fc.constantFrom("openai", "groq"),
      status: fc.constantFrom("ok", "error", "cancelled"),
      key: fc.constantFrom(...KEY_IDS),
      since: moment,
      until: moment,
    },
    { requiredKeys: [] },
  );

  test("shows exactly what the filters leave, newest first, page by page without gap or repetition", () => {
    fc.assert(
      fc.property(traces, filter, fc.integer({ min: 1, max: 7 }), anyLayout, (all, wanted, limit, layout) => {
        const store = new TrailStore(LAYOUTS[layout](), ROOMY);
        feed(store, all);
        const seen: string[] = [];
        let after: { createdAt: number; id: string } | undefined;
        for (;;) {
          const { rows, end } = store.list({ ...wanted, after, limit }, DAY);
          expect(end).toBeNull();
          seen.push(...rows.map(({ id }) => id));
          after = rows.at(-1);
          if (rows.length < limit) break;
        }
        expect(seen).toEqual(listModel(all, wanted));
      }),
      { numRuns: tries(200) },
    );
  });

  test("begins with `since` and ends before `until`", () => {
    const store = newStore();
    const all = [1, 2, 3, 4].map((ms) => makeTrace({ at: TODAY + ms }));
    feed(store, all);
    const { rows } = store.list({ since: TODAY + 2, until: TODAY + 4, limit: 9 }, DAY);
    expect(rows.map(({ createdAt }) => createdAt - TODAY)).toEqual([3, 2]);
  });

  test("gives back the very text that was sent", () => {
    const store = newStore();
    const trace = makeTrace({ tags: { note: "Zażółć \u2028 \ud83d\ude00 'quoted'" } });
    const row = toRow(trace);
    store.ingest({ keyId: trace.key_id, rows: [row] }, DAY);
    expect(store.list({ limit: 5 }, DAY).rows).toEqual([
      { id: trace.id, createdAt: Date.parse(trace.created_at), trace: row.trace },
    ]);
  });

  test("ends early where the answer would be too large, and says so; one row is always there", () => {
    const store = newStore({ ...ROOMY, answerLength: 2_000 });
    feed(store, [
      makeTrace({ tags: { a: "x".repeat(3_000) } }),
      makeTrace({ at: TODAY + 1 }),
      makeTrace({ at: TODAY + 2 }),
      makeTrace({ at: TODAY + 3 }),
    ]);
    const first = store.list({ limit: 10 }, DAY);
    expect([first.rows.length, first.end?.id ?? null]).toEqual([1, first.rows[0]?.id]);
    const second = store.list({ limit: 10, after: first.rows[0] }, DAY);
    expect([second.rows.length, second.end?.id ?? null]).toEqual([2, second.rows[1]?.id]);
    const third = store.list({ limit: 10, after: second.rows[1] }, DAY);
    expect([third.rows.length, third.end?.id ?? null]).toEqual([1, null]);
  });
});

describe.each(Object.entries(LAYOUTS))("a day with more traces than are kept (%s)", (_, start) => {
  const small = { ...ROOMY, bodies: 10, slack: 5 };
  const all = Array.from({ length: 60 }, (_, at) => makeTrace({ at: TODAY + at * 60_000 }));

  test("lists the newest, and still counts every one of them once", () => {
    const store = new TrailStore(start(), small);
    for (const trace of all) feed(store, [trace]);
    const listed = store.list({ limit: 100 }, DAY).rows.map(({ id }) => id);
    expect(listed.length).toBeGreaterThanOrEqual(small.bodies);
    expect(listed.length).toBeLessThanOrEqual(small.bodies + small.slack);
    expect(listed).toEqual(
      all
        .map(({ id }) => id)
        .toReversed()
        .slice(0, listed.length),
    );
    // Sent again: the trimmed ones neither count again nor come back.
    feed(store, all);
    expect(store.list({ limit: 100 }, DAY).rows.map(({ id }) => id)).toEqual(listed);
    expect(spendOf(store, { groupBy: "key", since: TODAY, until: TODAY + DAY_MS }, DAY).total).toMatchObject({
      requests: 60,
      nanoUsd: 60_000,
    });
    const middle = spendOf(store, { groupBy: "app", since: TODAY + 90_000, until: TODAY + 30 * 60_000 }, DAY);
    expect(middle.total).toMatchObject({ requests: 28, nanoUsd: 28_000 });
  });

  test("a late trace of its trimmed part counts, and is not listed", () => {
    const sql = start();
    const store = new TrailStore(sql, small);
    feed(store, all);
    const before = store.list({ limit: 100 }, DAY).rows;
    feed(store, [makeTrace({ at: TODAY + 30_000 })]);
    expect(store.list({ limit: 100 }, DAY).rows).toEqual(before);
    expect(sql.exec("SELECT count(*) AS count FROM body").one()).toEqual({ count: before.length });
    expect(spendOf(store, { groupBy: "env", since: TODAY, until: TODAY + DAY_MS }, DAY).total.requests).toBe(61);
  });
});

describe.each(Object.entries(LAYOUTS))("traces that are too old (%s)", (_, start) => {
  test("lose their JSON ten minutes at a time, and keep their sums", () => {
    const sql = start();
    const store = new TrailStore(sql, ROOMY);
    const all = Array.from({ length: 12 }, (_each, at) => makeTrace({ at: TODAY + at * 300_000 }));
    feed(store, all);
    expect(store.bodiesSince()).toBe(TODAY);
    expect(store.strip(TODAY + 1_500_000)).toBe(true);
    expect(store.bodiesSince()).toBe(TODAY + 600_000);
    expect(store.list({ limit: 100 }, DAY).rows).toHaveLength(10);
    while (store.strip(TODAY + 1_500_000));
    expect(store.list({ limit: 100 }, DAY).rows.map(({ id }) => id)).toEqual(
      all
        .slice(5)
        .map(({ id }) => id)
        .toReversed(),
    );
    expect(sql.exec("SELECT count(*) AS count FROM body").one()).toEqual({ count: 7 });
    expect(sql.exec("SELECT bodies FROM trail").one()).toEqual({ bodies: 7 });
    const part = { since: TODAY + 1, until: TODAY + 1_200_001 };
    expect(spendOf(store, { groupBy: "app", ...part }, DAY).total).toMatchObject({ requests: 4, nanoUsd: 4_000 });
    while (store.strip(TODAY + DAY_MS));
    expect(store.bodiesSince()).toBeNull();
    expect(sql.exec("SELECT count(*) AS count FROM body").one()).toEqual({ count: 0 });
  });
});

test("facets from the sums of usage are those of the traces", () => {
  const filters = fc.record(
    {
      app: fc.constantFrom("studio", "console"),
      key: fc.constantFrom(...KEY_IDS),
      status: fc.constantFrom("ok", "error", "cancelled"),
      provider: fc.constantFrom("openai", "groq"),
      since: fc.nat(30).map((hour) => TODAY + hour * 3_600_000),
      until: fc.nat(30 * 60).map((minute) => TODAY + minute * 60_000),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(traces, filters, anyLayout, (all, wanted, layout) => {
      const sql = LAYOUTS[layout]();
      const store = new TrailStore(sql, ROOMY);
      // A request that nobody answered is summed at the target that it called last, and a trace of it names none.
      const answered = wanted.provider === undefined ? all : all.filter(({ provider }) => provider !== null);
      // Tables come with the first trace.
      fc.pre(answered.length > 0);
      const told = answered.map((trace) => (trace.status === "ok" ? { ...trace, error_code: undefined } : trace));
      feed(store, told as Trace[]);
      const counted = facetsIn(sql, layoutOf(sql), wanted) ?? [];
      const summed = facetsOfDay(sql, layoutOf(sql), wanted, DAY, false, 0) ?? [];
      const known = (rows: readonly FacetRow[]) => {
        const { provider, model, ...facets } = toFacets(rows);
        return facets;
      };
      expect(known(summed)).toEqual(known(counted));
    }),
    { numRuns: tries(100) },
  );
});

describe("a filter that matches nothing", () => {
  const many = Array.from({ length: 30_000 }, (_, at) => JSON.stringify(makeTrace({ at: TODAY + at * 1_000 })));
  const store = newStore({ ...ROOMY, bodies: 100_000 });
  for (let from = 0; from < many.length; from += 1_000) {
    const rows = many.slice(from, from + 1_000).map((trace, seq) => ({ seq, trace, unadmittedNanoUsd: 0 }));
    store.ingest({ keyId: KEY_IDS[0], rows }, DAY);
  }

  test("looks at no trace where the sums of usage say that there is none", () => {
    expect(store.list({ limit: 5, app: "nobody" }, DAY)).toEqual({ rows: [], end: null });
    expect(store.list({ limit: 5, key: "nobody000000" }, DAY)).toEqual({ rows: [], end: null });
    expect(store.list({ limit: 5, model: "nothing" }, DAY)).toEqual({ rows: [], end: null });
  });

  test("stops after so many traces and says where, so that the next page goes on there", () => {
    const first = store.list({ limit: 5, session: "nobody" }, DAY);
    expect(first.rows).toEqual([]);
    expect(first.end?.createdAt).toBe(TODAY + 10_000 * 1_000);
    expect(store.list({ limit: 5, session: "nobody", after: first.end ?? undefined }, DAY)).toEqual({
      ...{ rows: [], end: null },
    });
  });
});

describe("what does not belong", () => {
  test("is refused by its number and holds up nothing else of the batch", () => {
    const store = newStore();
    const good = makeTrace();
    const rows: TrailRow[] = [
      { seq: 1, trace: "{", unadmittedNanoUsd: 0 },
      { seq: 2, trace: "[]", unadmittedNanoUsd: 0 },
      { ...toRow(makeTrace({ env: "staging" })), seq: 3 },
      { ...toRow(makeTrace({ at: TODAY - 1 })), seq: 4 },
      { ...toRow(makeTrace({ at: TODAY + DAY_MS })), seq: 5 },
      { ...toRow(good), seq: 6 },
    ];
    expect(store.ingest({ keyId: good.key_id, rows }, DAY)).toEqual([1, 2, 3, 4, 5]);
    expect(store.list({ limit: 10 }, DAY).rows.map(({ id }) => id)).toEqual([good.id]);
    expect(spendOf(store, { groupBy: "env", since: TODAY, until: TODAY + DAY_MS }, DAY).total.requests).toBe(1);
  });
});

describe("an object that was only asked", () => {
  test("has empty answers and no tables", () => {
    const sql = startSql();
    const store = new TrailStore(sql, ROOMY);
    expect(store.list({ limit: 5 }, DAY)).toEqual({ rows: [], end: null });
    expect(spendOf(store, { groupBy: "key", since: 0, until: TODAY * 2 }, DAY).total.requests).toBe(0);
    expect(store.evidence({ route: "flow/x", version: 1, since: 0 }, DAY).requests).toBe(0);
    expect(store.dayStartAt()).toBeNull();
    expect(sql.exec("SELECT name FROM sqlite_master").toArray()).toEqual([]);
  });
});

test("what was written is there for the next instance on the same tables", () => {
  const sql = startSql();
  const trace = makeTrace({ attempts: [attempt({ cost_usd: 0.5 })] });
  feed(new TrailStore(sql, ROOMY), [trace]);
  const next = new TrailStore(sql, ROOMY);
  feed(next, [trace, makeTrace()]);
  expect(next.dayStartAt()).toBe(TODAY);
  expect(next.list({ limit: 5 }, DAY).rows).toHaveLength(2);
  expect(spendOf(next, { groupBy: "key", since: TODAY, until: TODAY + DAY_MS }, DAY).total.nanoUsd).toBe(500_001_000);
});

test("no question walks through all traces of a day to find a few", () => {
  const plans: string[] = [];
  const sql = startSql();
  const store = new TrailStore(sql, ROOMY);
  feed(store, [makeTrace(), makeTrace({ status: "error" })]);
  const explaining = new TrailStore(
    {
      exec: (query: string, ...bindings: SqlStorageValue[]) => {
        if (/^\s*SELECT/.test(query) && query.includes("FROM")) {
          const steps = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`, ...bindings).toArray();
          plans.push(steps.map(({ detail }) => detail).join("; "));
        }
        return sql.exec(query, ...bindings);
      },
    } as unknown as SqlStorage,
    ROOMY,
  );
  plans.length = 0;
  explaining.list({ limit: 5 }, DAY);
  explaining.list({ limit: 5, status: "error" }, DAY);
  explaining.list({ limit: 5, key: KEY_IDS[0] }, DAY);
  spendOf(explaining, { groupBy: "key", since: TODAY + 1, until: TODAY + DAY_MS }, DAY);
  explaining.evidence({ route: "flow/x", version: 1, since: TODAY }, DAY);
  const scans = plans
    .join("; ")
    .split("; ")
    .filter((step) => /SCAN (trace|body|usage|version)/.test(step));
  expect(scans).toEqual([]);
  const text = plans.join("\n");
  expect(text).toContain("SEARCH trace USING PRIMARY KEY");
  expect(text).toContain("SEARCH trace USING INDEX trace_not_ok");
  expect(text).toContain("SEARCH usage USING PRIMARY KEY");
});

describe("a request that nobody had settled", () => {
  const swept = (attempts: number): Trace =>
    makeTrace({
      ...{ id: "tr_trailtest00100000000unsettled000", status: "error", error_code: "unsettled" },
      attempts: Array.from({ length: attempts }, () => attempt({ provider: "groq", winner: false, cost_usd: 0.5 })),
    });
  const settled = makeTrace({ id: swept(1).id });
  const rowOf = (trace: Trace): TrailRow => {
    const unsettledAttempts = trace === settled ? 0 : trace.attempts.length;
    return { ...toRow(trace, 7), ...(unsettledAttempts === 0 ? {} : { unsettledAttempts }) };
  };
  const versions = [swept(1), swept(2), settled, settled, swept(1)];

  test.each([true, false])(
    "counts once, as what is known best, in whatever order it is sent (in one batch: %s)",
    (one) => {
      fc.assert(
        fc.property(
          fc.shuffledSubarray(versions, { minLength: 1 }),
          moment,
          moment,
          anyLayout,
          (sent, since, until, layout) => {
            const store = new TrailStore(LAYOUTS[layout](), ROOMY);
            if (one) feed(store, sent, rowOf);
            else for (const trace of sent) feed(store, [trace], rowOf);
            const best = versions.slice(0, 3).findLast((trace) => sent.includes(trace)) ?? swept(1);
            for (const groupBy of SPEND_GROUPS) {
              const plain = newStore();
              feed(plain, [best], rowOf);
              for (const span of [
                { since, until },
                { since: TODAY, until: TODAY + DAY_MS },
              ]) {
                expect(spendOf(store, { groupBy, ...span }, DAY)).toEqual(spendOf(plain, { groupBy, ...span }, DAY));
              }
            }
            expect(store.list({ limit: 9 }, DAY).rows.map(({ trace }) => trace)).toEqual([JSON.stringify(best)]);
            const { requests, errors } = store.evidence({ route: best.route, version: 1, since: TODAY }, DAY);
            expect({ requests, errors }).toEqual({ requests: best === settled ? 1 : 0, errors: [] });
          },
        ),
        { numRuns: tries(60) },
      );
    },
  );

  test("keeps the count of what can be listed", () => {
    const sql = startSql();
    const store = new TrailStore(sql, ROOMY);
    for (const trace of [swept(1), swept(2), settled, settled]) feed(store, [trace], rowOf);
    expect(sql.exec("SELECT bodies, (SELECT count(*) FROM body) AS kept FROM trail").one()).toEqual({
      bodies: 1,
      kept: 1,
    });
  });

  test("in an object of the version before, every trace counts as settled", () => {
    const sql = startSplitSql();
    feed(new TrailStore(sql, ROOMY), [settled]);
    sql.exec("ALTER TABLE trace DROP COLUMN unsettled_attempts");
    for (const table of ["usage", "adjusted", "attempt_count", "spread", "shard", "pending", "settled"])
      sql.exec(`DROP TABLE ${table}`);
    for (const column of ["usage_seq", "changes", "archived"]) sql.exec(`ALTER TABLE trail DROP COLUMN ${column}`);
    sql.exec("DELETE FROM migration WHERE step >= 1");
    const store = new TrailStore(sql, ROOMY);
    feed(store, [swept(2), settled], rowOf);
    expect(spendOf(store, { groupBy: "key", since: TODAY, until: TODAY + DAY_MS }, DAY).total).toMatchObject({
      ...{ requests: 1, nanoUsd: 1_000 },
    });
  });
});
