/**
 * What the trail reads from a trace, and what a trace adds to each sum.
 *
 * Pure. A ledger may run another version of this code than the trail does, so a trace is read with patience: what is
 * absent or odd has a neutral value. Only a trace without an id or a time cannot be placed.
 */
import type { ErrorCode } from "../http/errors.ts";
import { isJsonObject } from "../lib/json.ts";
import { fromUsd } from "../lib/money.ts";
import { UNSETTLED } from "../traces/schema.ts";
import type { ErrorCount } from "./types.ts";

export interface AttemptFacts {
  readonly provider: string;
  readonly model: string;
  /** `null`: the price is unknown. */
  readonly nanoUsd: number | null;
  readonly outcome: string;
  readonly hedged: boolean;
}

export interface UsageFacts {
  readonly prompt: number;
  readonly cached: number;
  readonly cacheWrite: number;
  readonly completion: number;
  readonly reasoning: number;
}

export const NO_TOKENS: UsageFacts = { prompt: 0, cached: 0, cacheWrite: 0, completion: 0, reasoning: 0 };

export interface TraceFacts {
  readonly id: string;
  /** Epoch ms. */
  readonly createdAt: number;
  readonly env: string;
  readonly keyId: string;
  readonly app: string;
  readonly route: string;
  readonly routeVersion: number;
  /** `chat` on traces of releases that had no other. */
  readonly api: string;
  readonly status: string;
  readonly errorCode: string | null;
  /** The provider and model that answered; empty where none did. */
  readonly provider: string;
  readonly model: string;
  readonly fallback: boolean;
  readonly attempts: readonly AttemptFacts[];
  readonly usage: UsageFacts;
  readonly tags: Readonly<Record<string, string>>;
  /** Since the request arrived. */
  readonly firstTokenMs: number | null;
  readonly totalMs: number | null;
}

/** Our own refusals and faults: they say nothing about the version of a route. */
const NOT_THE_ROUTES: ReadonlySet<string> = new Set<ErrorCode | typeof UNSETTLED>([
  ...(["rate_limit_exceeded", "ledger_unavailable", UNSETTLED] as const),
]);
/** Outcomes that are not held against a target: the client left, or another attempt was faster. */
const NO_ERRORS: ReadonlySet<string> = new Set(["ok", "cancelled"]);

/** `null` for what cannot be placed. `value` is the parsed trace. */
export function factsOf(value: unknown, keyId: string): TraceFacts | null {
  if (!isJsonObject(value)) return null;
  const id = text(value["id"]);
  const createdAt = Date.parse(text(value["created_at"]));
  if (id === "" || !Number.isFinite(createdAt)) return null;
  const latency = isJsonObject(value["latency"]) ? value["latency"] : {};
  const attempts = Array.isArray(value["attempts"]) ? value["attempts"] : [];
  const tags = isJsonObject(value["tags"]) ? Object.entries(value["tags"]) : [];
  return {
    id,
    createdAt,
    env: text(value["env"]),
    keyId,
    app: text(value["app"]),
    route: text(value["route"]),
    routeVersion: whole(value["route_version"]) ?? 0,
    api: text(value["api"]) || "chat",
    status: text(value["status"]),
    errorCode: text(value["error_code"]) || null,
    provider: text(value["provider"]),
    model: text(value["model"]),
    fallback: value["fallback"] === true,
    attempts: attempts.filter(isJsonObject).map(attemptOf),
    usage: tokensOf(value["usage"]),
    tags: Object.fromEntries(tags.filter((tag): tag is [string, string] => typeof tag[1] === "string")),
    firstTokenMs: number(latency["first_token_ms"]),
    totalMs: number(latency["total_ms"]),
  };
}

function attemptOf(value: Record<string, unknown>): AttemptFacts {
  const usd = number(value["cost_usd"]);
  return {
    provider: text(value["provider"]),
    model: text(value["model"]),
    nanoUsd: usd === null ? null : whole(fromUsd(usd)),
    outcome: text(value["outcome"]),
    hedged: value["hedged"] === true,
  };
}

function tokensOf(value: unknown): UsageFacts {
  if (!isJsonObject(value)) return NO_TOKENS;
  const count = (name: string): number => whole(value[name]) ?? 0;
  return {
    prompt: count("prompt_tokens"),
    cached: count("cached_tokens"),
    cacheWrite: count("cache_write_tokens"),
    completion: count("completion_tokens"),
    reasoning: count("reasoning_tokens"),
  };
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
/** Anything else than a whole number from 0 cannot be stored with the others, and counts as unknown. */
const whole = (value: unknown): number | null =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;

/**
 * Does the request tell how good a version of its route is? A client that left tells nothing, nor does a request that
 * we refused ourselves: for its key's budget, its limits or its tool results, or because our own ledger was away. And
 * how an unsettled request ended is unknown.
 */
export function isEvidence({ status, errorCode }: Pick<TraceFacts, "status" | "errorCode">): boolean {
  return status === "ok" || (status === "error" && !NOT_THE_ROUTES.has(errorCode ?? ""));
}

/** What went wrong, attempt by attempt, failures included that another attempt made good. */
export function errorsOf({ status, errorCode, attempts }: TraceFacts): ErrorCount[] {
  const failed = attempts.filter(({ outcome }) => !NO_ERRORS.has(outcome));
  if (failed.length > 0) return failed.map(({ outcome, provider }) => ({ class: outcome, provider, count: 1 }));
  return status === "error" ? [{ class: errorCode ?? "error", provider: null, count: 1 }] : [];
}
