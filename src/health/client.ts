/**
 * What this isolate knows of its targets, and the exchange with what the others know.
 *
 * Isolate first: a decision reads module scope and waits for nothing. Outcomes are counted here and posted behind the
 * answer at most once a second per target; the answer to the post is the shared view. When the object cannot be
 * reached the local view goes on alone, and the outcomes of that second are lost, not sent twice.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { withTimeout } from "../lib/time/with-timeout.ts";
import { isAhead } from "./breaker.ts";
import { forecastAt } from "./forecast.ts";
import type { ProviderHealth } from "./provider-health.ts";
import type { RetryPermit } from "./rates.ts";
import {
  type AttemptReport,
  type AttemptTicket,
  adopt,
  begin,
  type Forecast,
  hasPending,
  isExploring,
  type LatencyKind,
  leaseOwn,
  needsLease,
  newTargetHealth,
  open,
  record,
  stateAt,
  type TargetHealth,
  type TargetState,
  takeDelta,
} from "./target.ts";
import type { HealthAnswer, HealthSnapshot, TargetDetails } from "./types.ts";
import { noteUnclean, UNCLEAN_MS } from "./unclean.ts";

export type { RetryPermit } from "./rates.ts";
export type { AttemptReport, AttemptTicket, Forecast, LatencyKind, Outcome, TargetState } from "./target.ts";

const POST_EVERY_MS = 1_000;
const POST_LIMIT_MS = 2_000;
/** Posts that one request makes for the others after its own. */
const MAX_FURTHER_POSTS = 5;
const SNAPSHOT_LIMIT_MS = 1_000;
/** Targets of all policies together. Beyond it the one not asked for the longest time is forgotten. */
const MAX_TARGETS = 2_000;

/** KV key of the published breaker states. */
const PUBLISHED_KEY = "health";
const WARM_UP_EVERY_MS = 30_000;
const WARM_UP_LIMIT_MS = 5_000;
const KV_CACHE_SECONDS = 30;
/** Clocks differ; a publication from farther ahead is not believed. */
const MAX_CLOCK_SKEW_MS = 60_000;

const NEVER_USED: Omit<HealthSnapshot, "at"> = {
  state: "closed",
  openUntil: 0,
  cooldownUntil: 0,
  ejections: 0,
  requests: 0,
  failures: 0,
  rateLimited: 0,
  firstToken: null,
  total: null,
};

/** What a request lends to the exchange. */
export interface HealthContext {
  readonly namespace: DurableObjectNamespace<ProviderHealth>;
  readonly kv: KVNamespace;
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Id of the key whose request this is; without it what one key's requests made of a target counts for all. */
  readonly key?: () => string | null;
}

const targets = new Map<string, TargetHealth>();
/** Random, made by the first request that posts: nothing random may happen while the module loads. */
let isolateId = "";
/** When the published states were last read, and the `at` of what was read. */
let warmedAt = 0;
let publishedAt = 0;

/**
 * State of `target` (`<provider>/<model>`) at `now`. Unknown targets are closed. Reads memory only; when the target is
 * half-open and no lease is held, asks for one behind the answer.
 */
export function targetState(context: HealthContext, target: string, now: number): TargetState {
  const health = targets.get(target);
  if (health === undefined) return "closed";
  const key = context.key?.() ?? "";
  if (needsLease(health, now, key)) {
    health.pending.wantsLease = true;
    promisePost(context, target, health, now);
  }
  return stateAt(health, now, key);
}

/** Over the last minute; null when fewer than 3 calls are known. Reads memory only. */
export function latencyForecast(target: string, kind: LatencyKind, now: number): Forecast | null {
  const health = targets.get(target);
  return health === undefined ? null : forecastAt(health, kind, now);
}

/**
 * May this request try an unmeasured target to measure it? At most one does so at a time per isolate; its lease of 10 s
 * begins with the attempt and ends with its report. Changes nothing.
 */
export function mayExplore(target: string, now: number, key = ""): boolean {
  const health = targets.get(target);
  return health === undefined || (stateAt(health, now, key) === "closed" && !isExploring(health, now));
}

/**
 * An attempt for a request of `key` starts. Uses up a probe lease, the allowance of a penalised target, an exploration. The ticket goes into
 * the report.
 */
export function beginAttempt(target: string, now: number, key = ""): AttemptTicket {
  return begin(used(target), target, now, key);
}

/** Takes one retry of the target, `null` when its budget is used up. It is to be given back with `endRetry`. */
export function takeRetry(target: string, now: number): RetryPermit | null {
  return used(target).retries.take(target, now);
}

export function endRetry(permit: RetryPermit): void {
  targets.get(permit.target)?.retries.giveBack(permit);
}

/**
 * Counts one ended attempt and posts behind the answer. Never throws and never waits. Called at most once per ticket as
 * its end, and once more with `failure` when a stream breaks after its first token.
 */
export function reportOutcome(context: HealthContext, ticket: AttemptTicket, report: AttemptReport): void {
  const health = used(ticket.target);
  record(health, ticket, report);
  if (hasPending(health)) promisePost(context, ticket.target, health, report.now);
}

/** A stream of `target` broke a rule of its protocol: for an hour its streams are read event by event, everywhere. */
export function reportUnclean(context: HealthContext, target: string, now: number): void {
  const health = used(target);
  noteUnclean(health, now);
  promisePost(context, target, health, now);
}

/** Are streams of `target` known to need mending? Reads memory only. */
export function isUnclean(target: string, now: number): boolean {
  const health = targets.get(target);
  return health !== undefined && isAhead(health.uncleanUntil, now, UNCLEAN_MS);
}

/** The provider's own figures for an answer. They are sent with the next report and not awaited. */
export function reportPrompt(target: string, promptTokens: number, cachedTokens: number): void {
  targets.get(target)?.prompts.count(promptTokens, cachedTokens);
}

/**
 * Share of its prompts that `target` has read from its cache in the last hour, 0 where it is unknown. Reads memory
 * only.
 */
export function cachedShareOf(target: string): number {
  return targets.get(target)?.prompts.cachedShare ?? 0;
}

/** Reads the published breaker states from KV when this isolate has not for 30 s. Never awaited by a request. */
export function warmUp(context: HealthContext, now: number): void {
  if (isAhead(warmedAt + WARM_UP_EVERY_MS, now, WARM_UP_EVERY_MS)) return;
  warmedAt = now;
  const { kv } = context;
  const read = async (): Promise<void> => {
    const text = await withTimeout(WARM_UP_LIMIT_MS, () => kv.get(PUBLISHED_KEY, { cacheTtl: KV_CACHE_SECONDS }));
    if (text !== null) adoptPublished(tryParseJson(text), Date.now());
  };
  // Advisory: without it the first failures teach the same.
  context.waitUntil(read().catch(() => {}));
}

/**
 * The target's shared health, for the operator: closed and without figures where it was never used, `null` when its
 * object does not answer within a second.
 */
export async function targetSnapshot(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
): Promise<TargetDetails | null> {
  const read = async (): Promise<TargetDetails> =>
    (await namespace.getByName(target).details()) ?? {
      ...NEVER_USED,
      at: Date.now(),
      openings: [],
      penalties: 0,
      lastFailure: null,
    };
  return withTimeout(SNAPSHOT_LIMIT_MS, read).catch(() => null);
}

/** The health of a target that is in use, as the most recently used one. */
function used(target: string): TargetHealth {
  const known = targets.get(target);
  const health = known ?? newTargetHealth();
  if (known !== undefined) targets.delete(target);
  targets.set(target, health);
  if (targets.size > MAX_TARGETS) {
    const [oldest] = targets.keys();
    if (oldest !== undefined) targets.delete(oldest);
  }
  return health;
}

/** Makes sure that somebody posts: this request, unless another one has promised to. */
function promisePost(context: HealthContext, target: string, health: TargetHealth, now: number): void {
  if (isAhead(health.postPromisedUntil, now, POST_EVERY_MS + POST_LIMIT_MS)) return;
  const dueAt = health.lastPostAt + POST_EVERY_MS;
  const delayMs = isAhead(dueAt, now, POST_EVERY_MS) ? dueAt - now : 0;
  health.postPromisedUntil = now + delayMs + POST_LIMIT_MS;
  context.waitUntil(post(context.namespace, target, health, delayMs));
}

/**
 * Sends what was counted, now or when a post is due, and takes back the shared view. What is counted while a post is
 * under way goes with a further one, so that the end of a burst is not left lying until the next request.
 */
async function post(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
  health: TargetHealth,
  delayMs: number,
): Promise<void> {
  if (delayMs > 0) await scheduler.wait(delayMs);
  await postOnce(namespace, target, health);
  for (let further = 0; further < MAX_FURTHER_POSTS && hasPending(health); further++) {
    health.postPromisedUntil = Date.now() + POST_EVERY_MS + POST_LIMIT_MS;
    await scheduler.wait(POST_EVERY_MS);
    await postOnce(namespace, target, health);
  }
  health.postPromisedUntil = 0;
}

async function postOnce(
  namespace: DurableObjectNamespace<ProviderHealth>,
  target: string,
  health: TargetHealth,
): Promise<void> {
  const sentAt = Date.now();
  if (isolateId === "") isolateId = crypto.randomUUID();
  const delta = takeDelta(health, isolateId, sentAt);
  health.lastPostAt = sentAt;
  const report = async (): Promise<HealthAnswer> => await namespace.getByName(target).report(delta);
  try {
    adopt(health, await withTimeout(POST_LIMIT_MS, report), sentAt, Date.now());
  } catch {
    // The local view goes on alone; the next report tries again with what is counted by then.
    if (delta.wantsLease) leaseOwn(health, Date.now());
  }
}

/** Every listed target is not closed, unless its object has sent this isolate something newer. */
function adoptPublished(published: unknown, now: number): void {
  if (!isJsonObject(published) || !isJsonObject(published["open"])) return;
  const { at } = published;
  // What was taken over once and has changed here since must not come back.
  if (typeof at !== "number" || !(at > publishedAt || now < publishedAt) || at > now + MAX_CLOCK_SKEW_MS) return;
  publishedAt = at;
  for (const [target, openUntil] of Object.entries(published["open"])) {
    if (typeof openUntil !== "number" || !Number.isFinite(openUntil)) continue;
    const health = targets.get(target) ?? (targets.size < MAX_TARGETS ? used(target) : undefined);
    if (health !== undefined && health.heardAt <= at)
      open(health, openUntil - now, now, keyIn(published["open_for"], target));
  }
}

function keyIn(openFor: unknown, target: string): string | null {
  const key = isJsonObject(openFor) && Object.hasOwn(openFor, target) ? openFor[target] : null;
  return typeof key === "string" ? key : null;
}
