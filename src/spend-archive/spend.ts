/**
 * What was spent and how requests fared: one question, answered from the archives of the months and, for what is not
 * there yet, from the objects of the trail. The face that `/admin/spend`, `/admin/stats` and metrics read.
 *
 * Answers are whole. A day that is not kept is refused with the first one that is, and where an object does not answer
 * the question fails with `ledger_unavailable`.
 */
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { archiveName, DAY_MS, dayStart, MAX_WINDOW_DAYS, nextMonth, trailName } from "../trace-index/calendar.ts";
import { askTrail, CALL_LIMIT_MS, inTurn, type Trail, type Trails, unavailable } from "../trace-index/calls.ts";
import { mergeSums, type UsageQuestion, type UsageSum } from "../trace-index/usage-query.ts";
import type { BodyFilter } from "../traces/filter.ts";
import type { SpendArchive } from "./spend-archive.ts";
import { type ArchiveAnswer, KEPT_DAYS } from "./store.ts";

export interface UsagePlaces {
  readonly trails: Trails;
  readonly archives: DurableObjectNamespace<SpendArchive>;
  /** Environments to ask: those of the deployment, or the one that is wanted. */
  readonly envs: readonly string[];
  readonly now: number;
  /** The first day that this deployment can have kept, first ms; 0: since its beginning. */
  readonly keptSince: number;
}

export interface SpanQuestion extends UsageQuestion {
  /** Epoch ms, inclusive. */
  readonly since: number;
  /** Epoch ms, exclusive. */
  readonly until: number;
  /** Buckets are months; `bucketMs` is `null` then. */
  readonly byMonth?: boolean;
  /** Only traces count that match it, so it is answered from them, as long as they are kept. */
  readonly matching?: BodyFilter | undefined;
}

/** A group of one environment. */
export interface EnvUsage extends UsageSum {
  readonly env: string;
}

type Archive = {
  usage(question: UsageQuestion, since: number, until: number): Promise<ArchiveAnswer>;
  monthly(question: UsageQuestion): Promise<UsageSum[]>;
};

/** The first day of which more is kept than sums per key and month. */
export function firstKeptDay({ now, keptSince }: Pick<UsagePlaces, "now" | "keptSince">): number {
  return Math.max(dayStart(now) - (KEPT_DAYS - 1) * DAY_MS, keptSince);
}

/** All usage of the span, by environment. Throws 400 `range_not_kept`, 400 `invalid_request` or 503. */
export async function findUsage(places: UsagePlaces, question: SpanQuestion): Promise<EnvUsage[]> {
  const { since, now } = { ...question, ...places };
  // Requests of the future are those of clocks that are ahead.
  const until = Math.min(question.until, dayStart(now) + 2 * DAY_MS);
  if (since >= until) return [];
  if (question.matching !== undefined) return findMatching(places, question, until);
  const pieces = monthsOf(since, until).map((piece) => ({ ...piece, isMonthly: isMonthly(places, question, piece) }));
  refuseUnkept(places, question, pieces);
  const { byMonth = false, since: _, until: __, ...plain } = question;
  const asked = places.envs.flatMap((env) => pieces.map((piece) => ({ env, piece })));
  const archived = await inTurn(asked, ({ env, piece }) => askArchive(places, plain, env, piece));
  const days = asked.flatMap(({ env, piece }, at) => {
    return daysLeft(places, piece, archived[at]?.days ?? []).map((day) => ({ env, day }));
  });
  const rest = await inTurn(days, ({ env, day }) =>
    askTrail(places.trails, trailName(env, day), (trail) => trail.usage({ ...plain, since, until })),
  );
  const answers = [
    ...asked.map(({ env, piece }, at) => ({ env, month: piece.month, sums: archived[at]?.sums ?? [] })),
    ...days.map(({ env, day }, at) => ({ env, month: monthOf(day), sums: rest[at] ?? [] })),
  ];
  return [...Map.groupBy(answers, ({ env }) => env)].flatMap(([env, own]) => {
    const sums = own.map((each) => (byMonth ? each.sums.map((sum) => ({ ...sum, at: each.month })) : each.sums));
    return mergeSums(sums).map((sum) => ({ ...sum, env }));
  });
}

/** Throws 400 where there are too many traces to look into. */
async function findMatching(
  { envs, trails, now }: UsagePlaces,
  { matching = {}, byMonth: _, ...question }: SpanQuestion,
  until: number,
): Promise<EnvUsage[]> {
  const days: number[] = [];
  for (let day = dayStart(question.since); day < until; day += DAY_MS) if (day >= trailStart(now)) days.push(day);
  const asked = envs.flatMap((env) => days.map((day) => ({ env, day })));
  const found = await inTurn(asked, async ({ env, day }) => {
    const ask = (trail: Trail) => trail.usageOfMatching({ ...question, until }, matching);
    return { env, sums: await askTrail(trails, trailName(env, day), ask) };
  });
  if (found.some(({ sums }) => sums === null)) {
    const message = "There are more traces in this range than one question looks into. Narrow `since` and `until`.";
    throw new RouterError("invalid_request", message, { param: "since" });
  }
  return [...Map.groupBy(found, ({ env }) => env)].flatMap(([env, own]) =>
    mergeSums(own.map(({ sums }) => sums ?? [])).map((sum) => ({ ...sum, env })),
  );
}

interface Piece {
  readonly month: number;
  readonly since: number;
  readonly until: number;
}

interface MonthPiece extends Piece {
  /** Answered from the sums per key and month. */
  readonly isMonthly: boolean;
}

function monthsOf(since: number, until: number): Piece[] {
  const pieces: Piece[] = [];
  for (let month = monthOf(since); month < until; month = nextMonth(month)) {
    pieces.push({ month, since: Math.max(since, month), until: Math.min(until, nextMonth(month)) });
  }
  return pieces;
}

function monthOf(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** Only sums per key and month are kept for ever. They serve where nothing else is asked for. */
function isMonthly(places: UsagePlaces, question: SpanQuestion, { month, since, until }: Piece): boolean {
  const isWhole = since === month && until === nextMonth(month);
  const isPerKey = question.groupBy.every((dimension) => dimension === "key" || dimension === "env");
  const isUnkept = month < firstKeptDay(places) && month >= places.keptSince;
  const { withLatency, withRefused, bucketMs, app, route, provider, model, api, status, tag } = question;
  const hasFilter = [app, route, provider, model, api, status, tag].some((value) => value !== undefined);
  return isWhole && isPerKey && isUnkept && bucketMs === null && !withLatency && !withRefused && !hasFilter;
}

function refuseUnkept(places: UsagePlaces, { since, until }: SpanQuestion, pieces: readonly MonthPiece[]): void {
  const first = firstKeptDay(places);
  const unkept = pieces.find((piece) => !piece.isMonthly && piece.since < first);
  if (unkept !== undefined) {
    const day = new Date(first).toISOString().slice(0, 10);
    const message = `Not all days of this range are kept. The first one is ${day}: begin there, or ask for whole months with \`group_by=key\`.`;
    throw new RouterError("range_not_kept", message, { param: "since", details: { first_day: day } });
  }
  const firstOfTrail = trailStart(places.now);
  for (const [param, at] of [
    ["since", since],
    ["until", until],
  ] as const) {
    if (at % DAY_MS === 0 || at >= firstOfTrail) continue;
    const day = new Date(firstOfTrail).toISOString().slice(0, 10);
    const message = `\`${param}\` must be at midnight UTC: parts of days are kept since ${day}.`;
    throw new RouterError("invalid_request", message, { param });
  }
}

/** The first day whose object of the trail is there until the end of today. */
const trailStart = (now: number): number => dayStart(now) - MAX_WINDOW_DAYS * DAY_MS;

/** Days that may still change, or of which a part is asked for, come from the trail. So does all by the hour. */
async function askArchive(
  { archives, now }: UsagePlaces,
  question: UsageQuestion,
  env: string,
  { month, since, until, isMonthly: isPerMonth }: MonthPiece,
): Promise<ArchiveAnswer> {
  const [first, end] = [Math.ceil(since / DAY_MS) * DAY_MS, Math.min(dayStart(until), dayStart(now) - DAY_MS)];
  const isByDay = question.bucketMs === null || question.bucketMs % DAY_MS === 0;
  if (!isPerMonth && (!isByDay || first >= end)) return { days: [], sums: [] };
  const ask = async (): Promise<ArchiveAnswer> => {
    // The same methods: the platform's own stub type makes arrays of the tuples in a histogram.
    const archive = archives.getByName(archiveName(env, month)) as unknown as Archive;
    return isPerMonth ? { days: [], sums: await archive.monthly(question) } : archive.usage(question, first, end);
  };
  return callWithRetry(CALL_LIMIT_MS, ask).catch(() => {
    throw unavailable();
  });
}

function daysLeft(
  { now }: UsagePlaces,
  { since, until, isMonthly: isPerMonth }: MonthPiece,
  kept: readonly number[],
): number[] {
  const days: number[] = [];
  if (isPerMonth) return days;
  for (let day = Math.max(dayStart(since), trailStart(now)); day < until; day += DAY_MS) {
    if (!kept.includes(day)) days.push(day);
  }
  return days;
}

/** The tags of a key go from all sums that are kept. Repeatable; rejects with `ledger_unavailable`. */
export async function eraseTags(
  archives: DurableObjectNamespace<SpendArchive>,
  env: string,
  keyId: string,
  now: number,
): Promise<void> {
  await inTurn(monthsOf(now - KEPT_DAYS * DAY_MS, now + DAY_MS), async ({ month }) => {
    const erase = async (): Promise<void> => archives.getByName(archiveName(env, month)).eraseTags(keyId);
    await callWithRetry(CALL_LIMIT_MS, erase).catch(() => {
      throw unavailable();
    });
  });
}
