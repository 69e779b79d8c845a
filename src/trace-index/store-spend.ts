/**
 * What was spent in a part of one day.
 *
 * A whole day is one row per group, whole slots are a few, and only what is left at the two ends is added up trace by
 * trace. So the answer is exact to the millisecond, and its cost does not follow the number of requests or keys.
 */
import { tryParseJson } from "../lib/json.ts";
import { DAY_MS, SLOT_MS, type Span, slotOf, type TrailDay, WHOLE_DAY } from "./calendar.ts";
import { type AttemptCost, sharesOf } from "./counted-trace.ts";
import type { GroupNames } from "./group-names.ts";
import type { DaySpend, DaySpendQuery, NamedSpend, SpendGroup, TotalSpend } from "./types.ts";

const NO_TOTAL: TotalSpend = { requests: 0, nanoUsd: 0, unpricedRequests: 0, unadmittedNanoUsd: 0 };
export const NO_SPEND: DaySpend = { groups: [], total: NO_TOTAL };

const SUM_SLOTS = `
  SELECT name, sum(requests) AS requests, sum(nano_usd) AS nano_usd, sum(unpriced_requests) AS unpriced_requests,
  sum(unadmitted_nano_usd) AS unadmitted_nano_usd
  FROM spend WHERE group_by = ? AND slot BETWEEN ? AND ? GROUP BY name HAVING sum(requests) > 0`;
/** Refused requests are listed and cost nothing; no sum counts them. */
const TRACES = `
  SELECT key_id, app, route, attempts, unadmitted_nano_usd FROM trace
  WHERE created_at >= ? AND created_at < ? AND status <> 'refused'`;

interface SumRow extends Record<string, SqlStorageValue> {
  name: string;
  requests: number;
  nano_usd: number;
  unpriced_requests: number;
  unadmitted_nano_usd: number;
}

interface TraceRow extends Record<string, SqlStorageValue> {
  key_id: string;
  app: string;
  route: string;
  attempts: string;
  unadmitted_nano_usd: number;
}

export function spendIn(
  sql: SqlStorage,
  names: GroupNames,
  { groupBy, since, until }: DaySpendQuery,
  day: TrailDay,
): DaySpend {
  const span = { since: Math.max(since, day.startAt), until: Math.min(until, day.startAt + DAY_MS) };
  const [total] = new Sums(sql, names, "env", day).of(span);
  return {
    groups: new Sums(sql, names, groupBy, day).of(span).map(({ unadmittedNanoUsd: _, ...group }) => group),
    total: total === undefined ? NO_TOTAL : toTotal(total),
  };
}

function toTotal({ name: _, ...total }: Sum): TotalSpend {
  return total;
}

type Sum = NamedSpend & TotalSpend;

class Sums {
  readonly #sql: SqlStorage;
  readonly #names: GroupNames;
  readonly #groupBy: SpendGroup;
  readonly #day: TrailDay;
  readonly #sums = new Map<string, Sum>();

  constructor(sql: SqlStorage, names: GroupNames, groupBy: SpendGroup, day: TrailDay) {
    this.#sql = sql;
    this.#names = names;
    this.#groupBy = groupBy;
    this.#day = day;
  }

  /** `span` within the day. */
  of({ since, until }: Span): Sum[] {
    const { startAt } = this.#day;
    const firstSlot = Math.ceil((since - startAt) / SLOT_MS);
    const endSlot = slotOf(until, startAt);
    if (until - since === DAY_MS) this.#addSlots(WHOLE_DAY, WHOLE_DAY);
    else if (firstSlot > endSlot) this.#addTraces(since, until);
    else {
      this.#addTraces(since, startAt + firstSlot * SLOT_MS);
      this.#addSlots(firstSlot, endSlot - 1);
      this.#addTraces(startAt + endSlot * SLOT_MS, until);
    }
    return [...this.#sums.values()];
  }

  #addSlots(first: number, last: number): void {
    for (const row of this.#sql.exec<SumRow>(SUM_SLOTS, this.#groupBy, first, last)) {
      this.#add({
        name: row.name,
        requests: row.requests,
        nanoUsd: row.nano_usd,
        unpricedRequests: row.unpriced_requests,
        unadmittedNanoUsd: row.unadmitted_nano_usd,
      });
    }
  }

  /** Those of less than two slots. */
  #addTraces(since: number, until: number): void {
    if (since >= until) return;
    for (const row of this.#sql.exec<TraceRow>(TRACES, since, until)) {
      const { key_id: keyId, app, route } = row;
      const facts = { env: this.#day.env, keyId, app, route, attempts: readAttempts(row.attempts) };
      for (const { name: ownName, nanoUsd, isUnpriced } of sharesOf(facts, this.#groupBy)) {
        const name = this.#names.find(this.#groupBy, ownName);
        const unadmittedNanoUsd = row.unadmitted_nano_usd;
        this.#add({ name, requests: 1, nanoUsd, unpricedRequests: isUnpriced ? 1 : 0, unadmittedNanoUsd });
      }
    }
  }

  #add(part: Sum): void {
    const known = this.#sums.get(part.name);
    this.#sums.set(part.name, known === undefined ? part : addSums(known, part));
  }
}

function addSums(a: Sum, b: Sum): Sum {
  return {
    name: a.name,
    requests: a.requests + b.requests,
    nanoUsd: a.nanoUsd + b.nanoUsd,
    unpricedRequests: a.unpricedRequests + b.unpricedRequests,
    unadmittedNanoUsd: a.unadmittedNanoUsd + b.unadmittedNanoUsd,
  };
}

/** Written by the store from `AttemptCost`s, maybe of another release: what is none of them is left out. */
export function readAttempts(text: string): AttemptCost[] {
  const attempts = tryParseJson(text);
  if (!Array.isArray(attempts)) return [];
  return attempts.flatMap((attempt: unknown): AttemptCost[] => {
    const [provider, model, nanoUsd] = Array.isArray(attempt) ? (attempt as readonly unknown[]) : [];
    if (typeof provider !== "string" || typeof model !== "string") return [];
    return [{ provider, model, nanoUsd: typeof nanoUsd === "number" ? nanoUsd : null }];
  });
}
