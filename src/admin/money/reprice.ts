/** `/admin/spend/reprice`: puts right what past requests of a model cost. */
import type { Context } from "hono";
import { Hono } from "hono/tiny";
import * as z from "zod/mini";
import { withControl } from "../../control/client.ts";
import { callWithRetry } from "../../durable/call.ts";
import { BODY_LIMITS } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { readJson } from "../../http/json-body.ts";
import { readTime } from "../../http/pagination.ts";
import { badParameter, refuseQuery } from "../../http/query.ts";
import { encodeBase62, randomBase62 } from "../../lib/text/base62.ts";
import { PriceMembers, toPrice } from "../../prices/request.ts";
import type { RepriceRequest as JobRequest, RepriceState, StartResult } from "../../repricing/types.ts";
import type { AdminEnv } from "../access/authorize.ts";
import { requireRole } from "../access/roles.ts";

/** Usage by the hour is kept so long. */
const KEPT_MS = 400 * 86_400_000;
const HOUR_MS = 3_600_000;
const JOB_ID = /^rp_[0-9A-Za-z]{20}$/;
const START_LIMIT_MS = 60_000;

export const RepriceRequest = z.strictObject({
  provider: z.string().check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be the id of a provider")),
  model: z.string().check(z.regex(/^[\x21-\x7e]{1,256}$/, "must be the id of a model")),
  since: z.string(),
  until: z.optional(z.string()),
  price: z.optional(PriceMembers),
  dry_run: z.optional(z.boolean("must be true or false")),
  include_reported: z.optional(z.boolean("must be true or false")),
});

export const repriceApp = new Hono<AdminEnv>();

repriceApp.post("/", async (c) => {
  refuseQuery(c);
  const asked = await readJson(c, RepriceRequest, BODY_LIMITS.admin);
  const { provider, model, dry_run: dryRun = false, include_reported: includeReported = false } = asked;
  if (!dryRun) requireRole(c.get("role"), "admin");
  const now = Date.now();
  const since = readTime("since", asked.since) ?? now;
  const until = Math.min(now, readTime("until", asked.until) ?? now);
  if (since >= until) throw badParameter("since", "must be earlier than `until`, and than now");
  if (since < now - KEPT_MS) throw notKept(Math.ceil((now - KEPT_MS) / HOUR_MS) * HOUR_MS);
  const entries = await withControl(c.env.CONTROL_PLANE, (control) => control.listPrices(provider, model));
  const request: JobRequest = {
    ...{ provider, model, since, until, dryRun, includeReported },
    price: asked.price === undefined ? null : toPrice(asked.price),
    rows: entries.map(({ row }) => row),
  };
  const id = `rp_${encodeBase62(now, 8)}${randomBase62(12)}`;
  const result = await callWithRetry(START_LIMIT_MS, () => jobOf(c, id).start(request));
  if (!result.ok) throw refusal(result);
  if (!dryRun) {
    const detail = {
      id,
      since: result.state.since,
      until: result.state.until,
      price: asked.price ?? null,
      include_reported: includeReported,
    };
    const object = `price ${provider}/${model}`;
    await withControl(c.env.CONTROL_PLANE, (control) => {
      return control.noteShown(c.get("actor"), "spend.reprice", object, detail);
    });
  }
  return c.json({ id, status: result.state.status, dry_run: dryRun }, 202);
});

repriceApp.get("/:id", async (c) => {
  refuseQuery(c);
  const id = c.req.param("id");
  const state = JOB_ID.test(id) ? await callWithRetry(START_LIMIT_MS, () => jobOf(c, id).state()) : null;
  if (state === null)
    throw new RouterError("not_found", "There is no repricing with this id. They are kept for 90 days.");
  return c.json(state);
});

interface Job {
  start(request: JobRequest): Promise<StartResult>;
  state(): Promise<RepriceState | null>;
}

function jobOf(c: Context<AdminEnv>, id: string): Job {
  // The same methods: the platform's own stub type cannot follow a price.
  return c.env.REPRICING_JOB.getByName(id) as unknown as Job;
}

function notKept(firstHour: number): RouterError {
  const hour = new Date(firstHour).toISOString();
  const message = `Not all charges of this range are kept. The first hour that is kept whole begins at ${hour}: begin there.`;
  return new RouterError("range_not_kept", message, {
    param: "since",
    details: { first_hour: hour, first_day: hour.slice(0, 10) },
  });
}

function refusal(result: Extract<StartResult, { ok: false }>): RouterError {
  switch (result.reason) {
    case "range_not_kept":
      return notKept(result.firstHour);
    case "whole_hours": {
      const message = "Older charges are kept by the hour: `since` and `until` must be whole hours for this range.";
      return new RouterError("invalid_request", message, { param: "since" });
    }
    case "unknown_lengths": {
      const message = `Older charges are kept by the hour and cannot be told apart at ${result.lengths.join(", ")} tokens. Use the lengths at which the catalogue's prices change.`;
      return new RouterError("invalid_request", message, { param: "price.tiers" });
    }
  }
}
