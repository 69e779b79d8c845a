/**
 * What is known of an API key: the value of KV `key:<id>` and of the control plane's table. Never a secret.
 */
import * as z from "zod/mini";
import { ENV_NAME, RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { isTimeZone, PERIODS } from "../lib/time/calendar.ts";

const SCOPES = ["chat", "models", "traces:read", "raw_models", "approvals:decide"] as const;
export type Scope = (typeof SCOPES)[number];
export const DEFAULT_SCOPES: readonly Scope[] = ["chat", "models", "traces:read"];

const positiveInteger = z.int().check(z.minimum(1));
const resourceName = z.string().check(z.regex(RESOURCE_NAME, "must match ^[a-z0-9][a-z0-9._-]{0,62}$"));

const timeZone = z
  .string()
  .check(z.refine(isTimeZone, { error: "must be a name of the IANA time zone database, such as Europe/Berlin" }));

const Budget = z.strictObject({
  limit_usd: z.number().check(z.positive(), z.maximum(1_000_000)),
  period: z.enum(PERIODS),
  /** Where the period's midnight is. Absent: UTC. */
  time_zone: z.optional(timeZone),
});

const Limits = z.strictObject({
  requests_per_minute: z.optional(positiveInteger),
  tokens_per_minute: z.optional(positiveInteger),
  concurrency: z.optional(positiveInteger),
});

const keyName = z.string().check(z.minLength(1), z.maxLength(128));
const resourceNames = z.array(resourceName).check(z.minLength(1), z.maxLength(100));
const scopes = z.array(z.enum(SCOPES)).check(z.minLength(1));
const time = z.iso.datetime({ offset: true });

/** Body of `POST /admin/keys`. */
export const KeyRequest = z.strictObject({
  name: keyName,
  env: z.string().check(z.regex(ENV_NAME, "must match ^[a-z][a-z0-9-]{0,30}$")),
  apps: z.optional(resourceNames),
  routes: z.optional(resourceNames),
  scopes: z.optional(scopes),
  budget: z.optional(Budget),
  limits: z.optional(Limits),
  expires_at: z.optional(time),
});
export type KeyRequest = z.infer<typeof KeyRequest>;

/** Body of `PATCH /admin/keys/{id}`: each member replaces the one before as a whole, `null` takes it away. */
export const KeyChange = z.strictObject({
  name: z.optional(keyName),
  apps: z.optional(z.nullable(resourceNames)),
  routes: z.optional(z.nullable(resourceNames)),
  scopes: z.optional(scopes),
  budget: z.optional(z.nullable(Budget)),
  limits: z.optional(z.nullable(Limits)),
  expires_at: z.optional(z.nullable(time)),
  /** A paused key is refused like a revoked one, until it is active again. */
  status: z.optional(z.enum(["active", "paused"])),
});
export type KeyChange = z.infer<typeof KeyChange>;

const MAX_OVERLAP_SECONDS = 30 * 86_400;
const DEFAULT_OVERLAP_SECONDS = 3_600;

/** Body of `POST /admin/keys/{id}/rotate`: how long the secret before it keeps working. */
export const KeyRotation = z.strictObject({
  overlap_seconds: z._default(z.int().check(z.minimum(0), z.maximum(MAX_OVERLAP_SECONDS)), DEFAULT_OVERLAP_SECONDS),
});

export const KeyRecord = z.strictObject({
  id: z.string(),
  name: z.string(),
  env: z.string(),
  /** `null`: any app, any route of the environment. */
  apps: z.nullable(z.array(z.string())),
  routes: z.nullable(z.array(z.string())),
  scopes: z.array(z.enum(SCOPES)),
  budget: z.nullable(Budget),
  limits: z.nullable(Limits),
  /** `active`, `paused`, `revoked`, or one that a later release knows: whatever is not `active` opens nothing. */
  status: z.string(),
  created_at: z.string(),
  expires_at: z.nullable(z.string()),
  /** `console` or `docs`: built in, without a secret, for requests that a page runs. Absent: made by an operator. */
  kind: z.optional(z.string()),
  /** Grows with every change, so that an isolate can tell an old copy. */
  version: z.int(),
  /** Live secrets: one, or two while a rotation overlaps. */
  secrets: z.array(
    z.strictObject({
      hash: z.string(),
      expires_at: z.nullable(z.string()),
      /** Which pepper the hash is made under. Absent in records of before. */
      pepper_id: z.optional(z.string()),
    }),
  ),
});
export type KeyRecord = z.infer<typeof KeyRecord>;

/** The key object of the contract: the record without its hashes and its version. `status` may also be `expired`. */
export type PublicKey = Omit<KeyRecord, "secrets" | "version">;

/** The same for operators. `pepper_id` is that of its newest secret, `null` where it was not kept. */
export type OperatorKey = PublicKey & { readonly pepper_id: string | null };

export function toOperatorKey(record: KeyRecord, now: number): OperatorKey {
  return { ...toPublicKey(record, now), pepper_id: record.secrets[0]?.pepper_id ?? null };
}

/** `now`: epoch ms. Whether a key has expired is nowhere stored. */
export function toPublicKey(record: KeyRecord, now: number): PublicKey {
  const { id, name, env, apps, routes, scopes, budget, limits, created_at, expires_at } = record;
  const hasExpired = expires_at !== null && Date.parse(expires_at) <= now;
  const status = hasExpired && record.status !== "revoked" ? "expired" : record.status;
  const kind = record.kind === undefined ? {} : { kind: record.kind };
  return { id, name, env, apps, routes, scopes, budget, limits, status, created_at, expires_at, ...kind };
}

/** KV key of a record. */
export const keyRecordKey = (id: string): string => `key:${id}`;
