/**
 * `/admin/prices`: what operators say that models cost, in place of the catalogue.
 *
 * A change is known everywhere within 60 s, and an attempt costs what its isolate knew when it started. Money that is
 * booked moves by a repricing only.
 */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import { entryId, findModel } from "../../catalog/index.ts";
import { withControl } from "../../control/client.ts";
import type { PriceEntry, TargetUse } from "../../control/types.ts";
import { BODY_LIMITS } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { readJson } from "../../http/json-body.ts";
import { badCursor, readLimit, toList } from "../../http/pagination.ts";
import { badParameter, readQuery, refuseQuery } from "../../http/query.ts";
import { CATALOGUE_ROW, rowAt } from "../../prices/book.ts";
import { priceEnds } from "../../prices/ends.ts";
import { PriceRequest, toMembers } from "../../prices/request.ts";
import { forgetPrices } from "../../prices/store.ts";
import { isKnownProvider } from "../../providers/index.ts";
import type { AdminEnv } from "../access/authorize.ts";
import { readFlag } from "../options.ts";

const WATCH_MS = 14 * 86_400_000;
const PREFIX = "/admin/prices/";
/** As a policy may name it. */
const MODEL = /^[\x21-\x7e]{1,256}$/;

export const pricesApp = new Hono<AdminEnv>();

pricesApp.get("/", async (c) => {
  const query = readQuery(c, ["limit", "cursor", "watch"]);
  if (readFlag(query, "watch")) {
    if (query.limit !== undefined || query.cursor !== undefined) {
      throw badParameter(query.limit === undefined ? "cursor" : "limit", "does not go with `watch`: all is one answer");
    }
    return c.json(toList(await watched(c, Date.now()), null));
  }
  const limit = readLimit(query.limit);
  const entries = await withControl(c.env.CONTROL_PLANE, (control) => control.listPrices());
  const now = Date.now();
  const all = [...Map.groupBy(entries, nameOf).values()].map((rows) => toPriceAnswer(rows, now));
  const start = startOf(
    all.map(({ provider, model }) => `${provider}/${model}`),
    query.cursor,
  );
  const page = all.slice(start, start + limit);
  const last = page.at(-1);
  const next = start + limit < all.length && last !== undefined ? `${last.provider}/${last.model}` : null;
  return c.json(toList(page, next));
});

pricesApp.get("/:provider/*", async (c) => {
  refuseQuery(c);
  const { provider, model } = readTarget(c);
  const entries = await withControl(c.env.CONTROL_PLANE, (control) => control.listPrices(provider, model));
  if (entries.length > 0) return c.json(toPriceAnswer(entries, Date.now()));
  return c.json(catalogueAnswer(provider, model));
});

pricesApp.put("/:provider/*", async (c) => {
  refuseQuery(c);
  const { provider, model } = readTarget(c);
  const request = await readJson(c, PriceRequest, BODY_LIMITS.admin);
  const { valid_from: from = null, valid_until: until = null } = request;
  const [validFrom, validUntil] = [from, until].map((time) => (time === null ? null : Date.parse(time)));
  if (validUntil != null && validUntil <= (validFrom ?? Date.now())) {
    throw badParameter("valid_until", "must be later than `valid_from`, and than now where that is left out");
  }
  if (!(await isProvider(c, provider))) {
    const message = `No provider has the id \`${provider}\`. Add it with PUT /admin/providers/${provider} first.`;
    throw new RouterError("invalid_request", message, { param: "provider" });
  }
  const change = { provider, model, request, validFrom: validFrom ?? null, validUntil: validUntil ?? null };
  const result = await withControl(c.env.CONTROL_PLANE, (control) => control.putPrice(change, c.get("actor")));
  if (!result.ok) {
    throw new RouterError("invalid_request", `${result.most} models have a price already. Delete one first.`);
  }
  forgetPrices();
  const entries = await withControl(c.env.CONTROL_PLANE, (control) => control.listPrices(provider, model));
  return c.json({ ...toPriceAnswer(entries, Date.now()), set: shown(result.entry) });
});

pricesApp.delete("/:provider/*", async (c) => {
  refuseQuery(c);
  const { provider, model } = readTarget(c);
  const wasThere = await withControl(c.env.CONTROL_PLANE, (control) =>
    control.deletePrice(provider, model, c.get("actor")),
  );
  if (!wasThere) throw new RouterError("not_found", "No operator has set a price for this model.");
  forgetPrices();
  return c.body(null, 204);
});

/** The provider is the first part of the path, the model all behind it, encoded or not. */
function readTarget(c: Context<AdminEnv>): { readonly provider: string; readonly model: string } {
  const path = new URL(c.req.url).pathname.slice(PREFIX.length);
  const slash = path.indexOf("/");
  const [provider, model] = [decoded(path.slice(0, Math.max(0, slash))), decoded(path.slice(slash + 1))];
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(provider))
    throw badParameter("provider", "in the path must be the id of a provider");
  if (!MODEL.test(model)) {
    throw badParameter("model", "in the path must be the id of a model: 1 to 256 printable ASCII characters");
  }
  return { provider, model };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function isProvider(c: Context<AdminEnv>, id: string): Promise<boolean> {
  if (isKnownProvider(id)) return true;
  const own = await withControl(c.env.CONTROL_PLANE, (control) => control.listProviders());
  return own.some((record) => record.id === id);
}

const nameOf = ({ provider, model }: Pick<PriceEntry, "provider" | "model">): string => `${provider}/${model}`;

/** The cursor is the last name shown. */
function startOf(names: readonly string[], cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const at = names.indexOf(cursor);
  if (at === -1) throw badCursor();
  return at + 1;
}

interface PriceAnswer {
  readonly provider: string;
  readonly model: string;
  readonly source: "operator" | "catalogue";
  readonly [member: string]: unknown;
}

/** What holds now, and all rows that operators set for the model. Before and behind them the catalogue's price holds. */
function toPriceAnswer(entries: readonly PriceEntry[], now: number): PriceAnswer {
  const { provider = "", model = "" } = entries[0] ?? {};
  const current = rowAt(
    entries.map((entry) => ({ ...entry.row, entry })),
    now,
  )?.entry;
  const rows = entries.map(shown);
  if (current !== undefined) return { provider, model, source: "operator", ...shown(current), rows };
  const price = findModel(provider, model)?.price;
  const members =
    price === undefined ? { input: null, output: null, row: null } : { ...toMembers(price), row: CATALOGUE_ROW };
  return { provider, model, source: "catalogue", ...members, updated_by: null, updated_at: null, rows };
}

function catalogueAnswer(provider: string, model: string): PriceAnswer {
  const price = findModel(provider, model)?.price;
  if (price === undefined) {
    const message = `\`${provider}/${model}\` has no known price. Set one with PUT /admin/prices/${provider}/${model}.`;
    throw new RouterError("not_found", message);
  }
  const id = entryId(provider, model);
  const members = { ...toMembers(price), row: CATALOGUE_ROW, updated_by: null, updated_at: null, rows: [] };
  return { provider, model, source: "catalogue", ...(id === model ? {} : { priced_as: id }), ...members };
}

function shown({ members, row, updatedBy, updatedAt }: PriceEntry) {
  const { valid_from: _, valid_until: __, ...rest } = members;
  return {
    ...rest,
    row: row.id,
    valid_from: isoTime(row.from),
    valid_until: row.until === null ? null : isoTime(row.until),
    updated_by: updatedBy,
    updated_at: updatedAt,
  };
}

const isoTime = (at: number): string => new Date(at).toISOString();

/** Prices that end within 14 days, and targets of active routes that have none. */
async function watched(c: Context<AdminEnv>, now: number): Promise<Watched[]> {
  const [entries, uses] = await withControl(c.env.CONTROL_PLANE, async (control) =>
    Promise.all([control.listPrices(), control.listTargets()]),
  );
  const rows = Map.groupBy(entries, nameOf);
  const isPriced = (use: TargetUse): boolean =>
    rowAt(
      (rows.get(nameOf(use)) ?? []).map(({ row }) => row),
      now,
    ) !== undefined || findModel(use.provider, use.model)?.price !== undefined;
  const unpriced = uses
    .filter((use) => use.routes.length > 0 && !isPriced(use))
    .map(({ provider, model, routes }): Watched => {
      return { provider, model, reason: "unpriced", source: null, valid_until: null, routes };
    });
  const ending = priceEnds(entries, uses, now)
    .filter(({ endsAt }) => endsAt <= now + WATCH_MS)
    .map(({ endsAt, ...price }): Watched => ({ ...price, reason: "ending", valid_until: isoTime(endsAt) }));
  return [...ending, ...unpriced];
}

interface Watched {
  readonly provider: string;
  readonly model: string;
  readonly reason: "ending" | "unpriced";
  readonly source: "operator" | "catalogue" | null;
  readonly valid_until: string | null;
  /** Active routes with such a target. */
  readonly routes: readonly string[];
}
