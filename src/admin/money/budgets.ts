/**
 * `/admin/budgets`: limits above keys, for an environment, an app, some keys, a tag, or all together.
 *
 * A change is written first, then shown to the budget's own object, which asks the ledgers what its period had spent
 * before. One that does not answer hears of it from the first request that meets the budget.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { type BudgetRecord, BudgetRequest } from "../../budgets/record.ts";
import { forgetBudgets } from "../../budgets/store.ts";
import type { BudgetStatus } from "../../budgets/types.ts";
import { withControl } from "../../control/client.ts";
import { callWithRetry } from "../../durable/call.ts";
import { BODY_LIMITS } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { readJson } from "../../http/json-body.ts";
import { badCursor, readLimit, toList } from "../../http/pagination.ts";
import { badParameter, readQuery, refuseQuery } from "../../http/query.ts";
import { fromUsd, toUsd } from "../../lib/money.ts";
import { RESOURCE_NAME } from "../../lib/text/name-patterns.ts";
import type { AdminEnv } from "../access/authorize.ts";

/** Longer than a definition waits for its ledgers. */
const POOL_LIMIT_MS = 8_000;
const CALLS_AT_A_TIME = 10;

export const budgetsApp = new Hono<AdminEnv>();

budgetsApp.get("/", async (c) => {
  const query = readQuery(c, ["limit", "cursor"]);
  const limit = readLimit(query.limit);
  const all = await withControl(c.env.CONTROL_PLANE, (control) => control.listBudgets());
  const start = query.cursor === undefined ? 0 : all.findIndex(({ id }) => id === query.cursor) + 1;
  if (query.cursor !== undefined && start === 0) throw badCursor();
  const page = all.slice(start, start + limit);
  const data = await statuses(c, page);
  return c.json(toList(data, start + limit < all.length ? (page.at(-1)?.id ?? null) : null));
});

budgetsApp.get("/:id", async (c) => {
  refuseQuery(c);
  const record = await findBudget(c);
  return c.json(toBody(record, await statusOf(c, record)));
});

budgetsApp.put("/:id", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  if (!RESOURCE_NAME.test(id)) throw badParameter("id", `in the path must match ${RESOURCE_NAME.source}`);
  const request = await readJson(c, BudgetRequest, BODY_LIMITS.admin);
  const put = await withControl(c.env.CONTROL_PLANE, (control) => control.putBudget(id, request, c.get("actor")));
  if (!put.ok && put.reason === "unknown_key") throw badParameter(`scope.keys[${put.at}]`, "is the id of no key");
  if (!put.ok && put.reason === "unknown_tag") {
    const name = request.scope.tag?.name ?? "";
    const remedy = `is not summed. Declare it first: PUT /admin/settings {"spend_tags": [${JSON.stringify(name)}]}`;
    throw badParameter("scope.tag.name", remedy);
  }
  if (!put.ok) throw new RouterError("invalid_request", "Budget limit (200) reached. Delete one first.");
  forgetBudgets();
  const status = await callWithRetry(POOL_LIMIT_MS, async () => pool(c, id).define(put.record)).catch(unavailable);
  return c.json(toBody(put.record, status));
});

budgetsApp.delete("/:id", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  const deleted = await withControl(c.env.CONTROL_PLANE, (control) => control.deleteBudget(id, c.get("actor")));
  if (!deleted.ok) throw notFound();
  forgetBudgets();
  // Isolates stop naming it in any case; its ledgers learn of it when they ask for more.
  await callWithRetry(POOL_LIMIT_MS, async () => pool(c, id).remove(deleted.version)).catch(() => {});
  return c.body(null, 204);
});

const pool = (c: Context<AdminEnv>, id: string) => c.env.BUDGET_POOL.getByName(id);

async function findBudget(c: Context<AdminEnv>): Promise<BudgetRecord> {
  const id = c.req.param("id") ?? "";
  const record = await withControl(c.env.CONTROL_PLANE, (control) => control.getBudget(id));
  if (record === null) throw notFound();
  return record;
}

const notFound = (): RouterError => new RouterError("not_found", "There is no budget with this id.");

function unavailable(): never {
  throw new RouterError("ledger_unavailable", "The budget's books did not answer. Try again in a moment.");
}

/** Rejects with `ledger_unavailable`. */
async function statusOf(c: Context<AdminEnv>, record: BudgetRecord): Promise<BudgetStatus | null> {
  const ask = async (): Promise<BudgetStatus | null> => await pool(c, record.id).status();
  const status = await callWithRetry(POOL_LIMIT_MS, ask).catch(unavailable);
  // An object that was never shown its budget.
  return (
    status ?? (await callWithRetry(POOL_LIMIT_MS, async () => pool(c, record.id).define(record)).catch(unavailable))
  );
}

async function statuses(c: Context<AdminEnv>, records: readonly BudgetRecord[]) {
  const found = records.map((record) => toBody(record, null));
  const waiting = records.entries();
  const askInTurn = async (): Promise<void> => {
    // All of them take from the same iterator.
    for (const [at, record] of waiting) found[at] = toBody(record, await statusOf(c, record));
  };
  await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, askInTurn));
  return found;
}

/**
 * The budget of the contract. `remaining_usd` is what is neither spent nor leased: below zero where a
 * corrected price has made the past more expensive.
 */
function toBody(
  { era: _era, version: _version, tag_since: _since, carried: _carried, ...record }: BudgetRecord,
  status: BudgetStatus | null,
) {
  const { periodStart = null, resetsAt = null, spentNanoUsd = 0, leasedNanoUsd = 0 } = status ?? {};
  const left = fromUsd(record.limit_usd) - spentNanoUsd - leasedNanoUsd;
  return {
    ...record,
    status: {
      period_start: isoTime(periodStart),
      resets_at: isoTime(resetsAt),
      spent_usd: toUsd(spentNanoUsd),
      leased_usd: toUsd(leasedNanoUsd),
      remaining_usd: toUsd(left),
    },
  };
}

const isoTime = (epochMs: number | null): string | null => (epochMs === null ? null : new Date(epochMs).toISOString());
