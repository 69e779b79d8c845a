/** Usage of months: from the trail, from the archive, and from both, always the same as the traces themselves. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUsd } from "../../../src/lib/money.ts";
import { findUsage, type SpanQuestion, type UsagePlaces } from "../../../src/spend-archive/spend.ts";
import { ArchiveStore } from "../../../src/spend-archive/store.ts";
import {
  archiveMonth,
  archiveName,
  DAY_MS,
  dayStart,
  parseTrailName,
  trailName,
} from "../../../src/trace-index/calendar.ts";
import { TrailStore } from "../../../src/trace-index/store/store.ts";
import type { DayUsageQuery } from "../../../src/trace-index/store/store-usage.ts";
import type { UsageQuestion } from "../../../src/trace-index/usage-query.ts";
import type { Trace } from "../../../src/traces/schema.ts";
import { tries } from "../../support/tries.ts";
import { attempt, KEY_IDS, makeTrace, startSql, TODAY, toRow, traceOf } from "../trace-index/fakes.ts";

const NOW = TODAY + DAY_MS / 2;
const TAGS = ["team"];

/** Trails and archives in memory. `close` copies the days before `now` as their objects do. */
class Deployment {
  readonly asked: string[] = [];
  readonly #trails = new Map<string, TrailStore>();
  readonly #archives = new Map<string, ArchiveStore>();

  ingest(traces: readonly Trace[]): void {
    for (const trace of traces) {
      const name = trailName(trace.env, Date.parse(trace.created_at));
      this.#trail(name).ingest({ keyId: trace.key_id, rows: [toRow(trace, 7)] }, this.#day(name), TAGS);
    }
  }

  close(): void {
    for (const [name, store] of this.#trails) {
      const day = this.#day(name);
      if (day.startAt >= dayStart(NOW) || store.archiving() === null) continue;
      const rows = store.archiveRows(day, TAGS);
      const version = store.archiving()?.changes ?? 0;
      const archive = this.#archive(archiveName(day.env, day.startAt));
      const month = archiveMonth(archiveName(day.env, day.startAt)) ?? 0;
      // In two parts, the last of them first, as a repeated call may come.
      const [one, other] = [rows.slice(0, 1), rows.slice(1)];
      archive.putDay({ day: day.startAt, version, part: 1, parts: 2, rows: other }, month);
      archive.putDay({ day: day.startAt, version, part: 0, parts: 2, rows: one }, month);
      archive.putDay({ day: day.startAt, version: version - 1, part: 0, parts: 1, rows: [] }, month);
    }
  }

  /** Days that are so old that their objects are gone. */
  forgetTrail(before: number): void {
    for (const name of this.#trails.keys()) if (this.#day(name).startAt < before) this.#trails.delete(name);
  }

  dropDays(env: string, at: number): void {
    this.#archive(archiveName(env, at)).dropDays();
  }

  async find(question: Partial<SpanQuestion>, now = NOW, keptSince = 0) {
    const whole = { groupBy: [], bucketMs: null, withRefused: false, withLatency: false, since: 0, until: Infinity };
    return findUsage({ ...this.#places(), envs: ["production", "staging"], now, keptSince }, { ...whole, ...question });
  }

  #places(): Pick<UsagePlaces, "trails" | "archives"> {
    const trail = (name: string) => ({
      usage: async (query: DayUsageQuery) => {
        this.asked.push(`trail ${name}`);
        return this.#trail(name).usage(query, this.#day(name), TAGS);
      },
    });
    const archive = (name: string) => ({
      usage: async (question: UsageQuestion, since: number, until: number) => {
        this.asked.push(`archive ${name}`);
        return this.#archive(name).answer(question, since, until);
      },
      monthly: async (question: UsageQuestion) => this.#archive(name).monthly(question, archiveMonth(name) ?? 0),
    });
    // Nothing else of the namespaces is called.
    return {
      trails: { getByName: trail } as unknown as UsagePlaces["trails"],
      archives: { getByName: archive } as unknown as UsagePlaces["archives"],
    };
  }

  #day(name: string) {
    const day = parseTrailName(name);
    if (day === null) throw new Error(`No day has the name ${name}.`);
    return day;
  }

  #trail(name: string): TrailStore {
    const store = this.#trails.get(name) ?? new TrailStore(startSql());
    this.#trails.set(name, store);
    return store;
  }

  #archive(name: string): ArchiveStore {
    const store = this.#archives.get(name) ?? new ArchiveStore(startSql());
    this.#archives.set(name, store);
    return store;
  }
}

const MONTH = { since: Date.parse("2026-11-01T00:00:00Z"), until: Date.parse("2026-12-01T00:00:00Z") };
const costOf = (traces: readonly Trace[]): number =>
  traces.flatMap(({ attempts }) => attempts).reduce((sum, { cost_usd }) => sum + fromUsd(cost_usd ?? 0), 0);
const at = (text: string): number => Date.parse(`${text}Z`);

test("every grouping adds up to the traces, before a day is archived and after, with its object or without", async () => {
  const someDays = fc.array(
    fc.integer({ min: 0, max: 20 }).chain((back) => traceOf(TODAY - back * DAY_MS)),
    { minLength: 1, maxLength: 12 },
  );
  const grouping = fc.constantFrom(
    ...([
      ["key"],
      ["app"],
      ["route", "model"],
      ["provider"],
      ["provider", "model"],
      ["env", "api"],
      ["tag.team"],
    ] as const),
  );
  await fc.assert(
    fc.asyncProperty(someDays, grouping, fc.boolean(), async (traces, groupBy, byDay) => {
      const deployment = new Deployment();
      deployment.ingest(traces);
      const question = { ...MONTH, groupBy: [...groupBy], bucketMs: byDay ? DAY_MS : null };
      const plain = (sums: Awaited<ReturnType<Deployment["find"]>>) =>
        sums.map((sum) => JSON.stringify([sum.env, sum.at, sum.group, sum.counts, sum.unpricedOnce])).toSorted();
      const before = await deployment.find(question);
      expect(before.reduce((sum, { counts }) => sum + counts.nano_usd, 0)).toBe(costOf(traces));
      deployment.close();
      expect(plain(await deployment.find(question))).toEqual(plain(before));
      deployment.forgetTrail(TODAY - DAY_MS);
      expect(plain(await deployment.find(question))).toEqual(plain(before));
    }),
    { numRuns: tries(60) },
  );
});

test("a late trace replaces the copy of its day, and an older copy replaces nothing", async () => {
  const deployment = new Deployment();
  const then = TODAY - 5 * DAY_MS;
  deployment.ingest([makeTrace({ at: then })]);
  deployment.close();
  deployment.ingest([makeTrace({ at: then + 1, attempts: [attempt({ cost_usd: 2 })] })]);
  deployment.close();
  deployment.forgetTrail(TODAY);
  const [all] = await deployment.find(MONTH);
  expect(all?.counts).toMatchObject({ requests: 2, nano_usd: 2_000_001_000, unadmitted_nano_usd: 14 });
});

test("December can be asked for in January, whole, and so can a year", async () => {
  const deployment = new Deployment();
  const days = Array.from({ length: 31 }, (_, day) => TODAY - (31 - day) * DAY_MS);
  deployment.ingest(days.map((day) => makeTrace({ at: day + 3_600_000 })));
  deployment.close();
  deployment.forgetTrail(TODAY - DAY_MS);
  const year = { since: TODAY - 365 * DAY_MS, until: TODAY, groupBy: ["key" as const] };
  const [own] = await deployment.find({ ...year, byMonth: true, groupBy: [] });
  const months = await deployment.find({ ...year, byMonth: true });
  expect(months.map((sum) => [new Date(sum.at).toISOString().slice(0, 7), sum.counts.requests])).toEqual([
    ["2026-10", 10],
    ["2026-11", 21],
  ]);
  expect(own?.counts.requests).toBe(10);
  const asked = deployment.asked.filter((name) => name.startsWith("archive production"));
  expect(asked.length).toBe(2 * 13);
});

describe("what is not kept is refused", () => {
  const question = { groupBy: ["app" as const] };

  test("with the first day that is", async () => {
    const deployment = new Deployment();
    const refused = deployment.find({ ...question, since: TODAY - 400 * DAY_MS, until: TODAY });
    await expect(refused).rejects.toMatchObject({ code: "range_not_kept", details: { first_day: "2025-10-19" } });
    expect(await deployment.find({ ...question, since: at("2025-10-19T00:00:00"), until: TODAY })).toEqual([]);
  });

  test("but for whole months per key, which stay when the days are gone", async () => {
    const deployment = new Deployment();
    const then = TODAY - 20 * DAY_MS;
    deployment.ingest([makeTrace({ at: then, key_id: KEY_IDS[1], attempts: [attempt({ cost_usd: 3 })] })]);
    deployment.close();
    deployment.forgetTrail(TODAY);
    deployment.dropDays("production", then);
    const later = NOW + 900 * DAY_MS;
    const monthly = await deployment.find({ ...MONTH, groupBy: ["key"], byMonth: true }, later);
    expect(monthly.map(({ group, counts }) => [group, counts.nano_usd])).toEqual([[[KEY_IDS[1]], 3_000_000_000]]);
    for (const other of [{ groupBy: ["app" as const] }, { bucketMs: DAY_MS }, { until: MONTH.until - DAY_MS }]) {
      await expect(deployment.find({ ...MONTH, groupBy: ["key"], ...other }, later)).rejects.toMatchObject({
        code: "range_not_kept",
      });
    }
  });

  test("and what a release before has not kept either", async () => {
    const deployment = new Deployment();
    const since = TODAY - 40 * DAY_MS;
    await expect(deployment.find({ since, until: TODAY }, NOW, TODAY - 30 * DAY_MS)).rejects.toMatchObject({
      code: "range_not_kept",
    });
  });

  test("a part of a day whose object is gone", async () => {
    const deployment = new Deployment();
    await expect(deployment.find({ since: TODAY - 40 * DAY_MS + 1, until: TODAY })).rejects.toMatchObject({
      code: "invalid_request",
      param: "since",
    });
  });
});
