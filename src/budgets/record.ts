/** Budgets above keys: the body of `PUT /admin/budgets/{id}`, and the list under KV `budgets`. */
import * as z from "zod/mini";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { isTimeZone, PERIODS } from "../lib/time/calendar.ts";
import type { BudgetTerms } from "./types.ts";

/** Ids of keys. */
const KEY_ID = /^[0-9A-Za-z]{12}$/;
/** What whole nano-USD can add up exactly is a little more. */
const MAX_LIMIT_USD = 9_000_000;
const MAX_KEYS = 100;

const timeZone = z
  .string()
  .check(z.refine(isTimeZone, { error: "must be a name of the IANA time zone database, such as Europe/Berlin" }));

const Scope = z.strictObject({
  env: z.optional(z.string().check(z.regex(ENV_NAME, "must match ^[a-z][a-z0-9-]{0,30}$"))),
  app: z.optional(z.string().check(z.regex(RESOURCE_NAME, "must match ^[a-z0-9][a-z0-9._-]{0,62}$"))),
  keys: z.optional(
    z.array(z.string().check(z.regex(KEY_ID, "must be the id of a key"))).check(z.minLength(1), z.maxLength(MAX_KEYS)),
  ),
  tag: z.optional(
    z.strictObject({
      name: z.string().check(z.minLength(1), z.maxLength(64)),
      value: z.string().check(z.maxLength(256)),
    }),
  ),
});

const shape = {
  /** A request that has all of it meets the budget; `{}`: every request of the deployment. */
  scope: Scope,
  limit_usd: z.number().check(z.positive(), z.maximum(MAX_LIMIT_USD)),
  period: z.enum(PERIODS),
  /** Where the period's midnight is. Absent: UTC. */
  time_zone: z.optional(timeZone),
};

export const BudgetRequest = z.strictObject({
  ...shape,
  /** `deny` (default) refuses what would pass the limit, `notify` never refuses. */
  on_exceeded: z._default(z.enum(["deny", "notify"]), "deny"),
});
export type BudgetRequest = z.infer<typeof BudgetRequest>;

export const BudgetRecord = z.strictObject({
  id: z.string(),
  ...shape,
  on_exceeded: z.enum(["deny", "notify"]),
  /** Grows with every change; `era` with every change of anything but the limit. */
  version: z.int(),
  era: z.int(),
  /** Epoch ms at which the tag of the scope was declared; 0 where there is none. */
  tag_since: z.int(),
  created_at: z.string(),
  updated_at: z.string(),
  /** What another deployment had spent of it in the period that began then (epoch ms), where it was imported. */
  carried: z.optional(z.strictObject({ start_at: z.int(), nano_usd: z.int() })),
});
export type BudgetRecord = z.infer<typeof BudgetRecord>;

export const BudgetList = z.array(BudgetRecord);
export type BudgetList = z.infer<typeof BudgetList>;

/** KV key of the list of all budgets. */
export const BUDGETS_KEY = "budgets";

/** What a request says of itself. */
export interface Spender {
  readonly env: string;
  readonly app: string;
  readonly keyId: string;
  readonly tags: Readonly<Record<string, string>>;
}

export function meets({ scope }: BudgetRecord, { env, app, keyId, tags }: Spender): boolean {
  if (scope.env !== undefined && scope.env !== env) return false;
  if (scope.app !== undefined && scope.app !== app) return false;
  if (scope.keys !== undefined && !scope.keys.includes(keyId)) return false;
  return scope.tag === undefined || (Object.hasOwn(tags, scope.tag.name) && tags[scope.tag.name] === scope.tag.value);
}

/** May a request of this key meet the budget at all? */
export function concerns({ scope }: BudgetRecord, key: { readonly id: string; readonly env: string }): boolean {
  return (scope.env ?? key.env) === key.env && (scope.keys?.includes(key.id) ?? true);
}

export function termsOf({
  id,
  era,
  scope,
  period,
  time_zone,
  on_exceeded,
  limit_usd,
  tag_since,
  carried,
}: BudgetRecord): BudgetTerms {
  const { app = null } = scope;
  const tag = scope.tag === undefined ? null : { ...scope.tag, since: tag_since };
  return {
    ...{ id, era, app, tag, period, ...(time_zone === undefined ? {} : { time_zone }), on_exceeded, limit_usd },
    ...(carried === undefined ? {} : { carriedAt: carried.start_at }),
  };
}
