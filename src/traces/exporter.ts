/**
 * Spans of one isolate travel in groups to the operator's collector, behind the answers. Never throws, never waited for.
 *
 * Requests share plain data only, for the reason `ledger/client/settlement.ts` gives. The first request to wake after
 * the gathering sends all that waits, one batch at a time; a request that wakes while another sends leaves its spans to
 * it. Spans are not money: what a collector does not take after one more try is counted, named in the log, and gone.
 */
import { log } from "../lib/log.ts";
import { retryDelayMs } from "../lib/time/retry-delay.ts";
import { upstreamUrl } from "../lib/upstream-url.ts";
import { type TraceParent, toExportRequest, toSpans } from "./otlp.ts";
import type { Trace } from "./schema.ts";

const GATHER_MS = 1_000;
/** As many spans waiting are sent without gathering more. */
const MAX_BATCH_SPANS = 512;
/** Beyond it the oldest are dropped. */
const MAX_QUEUED_SPANS = 2_048;
/** One try. */
const CALL_LIMIT_MS = 5_000;
const RETRY_PAUSE_MS = 250;
/** A collector that wants to be left alone for longer has no second try. */
const MAX_RETRY_PAUSE_MS = 2_000;
/** The longest one batch takes: a sender that shows no sign of life for longer is dead. */
const SENDER_SILENCE_MS = 2 * CALL_LIMIT_MS + MAX_RETRY_PAUSE_MS + 500;
/** No new batch is begun after it: with the last one this is within the 30 s that a finished request may go on. */
const SENDER_LIMIT_MS = 15_000;
const LOG_EVERY_MS = 60_000;
/** OTLP 1.x: of all failures only these may pass. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The part of the Worker's variables that the exporter reads. */
export interface ExporterEnv {
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string;
  readonly OTEL_EXPORTER_OTLP_HEADERS?: string;
  readonly OTEL_SERVICE_NAME?: string;
  readonly OTEL_RESOURCE_ATTRIBUTES?: string;
  readonly FLOW_ALLOW_PRIVATE_UPSTREAMS?: string;
}

interface Entry {
  readonly trace: Trace;
  readonly parent: TraceParent | null;
  readonly spanCount: number;
  isQueued: boolean;
  /** Its gathering is over. */
  isDue: boolean;
}

type Failure = { readonly reason: "endpoint" | "network" | "timeout" } | { readonly reason: "status"; status: number };

const queue: Entry[] = [];
let queuedSpans = 0;
/** Epoch ms until which the running sender is believed alive; 0 without one. A time, not a flag: that request may die. */
let senderAliveUntil = 0;
const losses = { failed: 0, dropped: 0, lastFailure: null as Failure | null, loggedAt: 0 };

/** Is there a collector? Without one this is all that exporting costs. */
export function isExporting(env: ExporterEnv): boolean {
  const endpoint = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  return endpoint !== undefined && endpoint !== "";
}

/**
 * Sends the spans of a finished request soon. A caller that does not record its own span has decided for the whole
 * trace, as OpenTelemetry's default sampler (`parentbased_always_on`) has it: half a trace is useless.
 */
export function exportSoon(
  env: ExporterEnv,
  trace: Trace,
  parent: TraceParent | null,
  waitUntil: (work: Promise<unknown>) => void,
): void {
  if (!isExporting(env) || parent?.sampled === false) return;
  const entry: Entry = { trace, parent, spanCount: 1 + trace.attempts.length, isQueued: true, isDue: false };
  queue.push(entry);
  queuedSpans += entry.spanCount;
  while (queuedSpans > MAX_QUEUED_SPANS) losses.dropped += takeOldest()?.spanCount ?? 0;
  waitUntil(sendWhenDue(env, entry));
}

function takeOldest(): Entry | undefined {
  const entry = queue.shift();
  if (entry === undefined) return undefined;
  entry.isQueued = false;
  queuedSpans -= entry.spanCount;
  return entry;
}

async function sendWhenDue(env: ExporterEnv, entry: Entry): Promise<void> {
  await scheduler.wait(queuedSpans >= MAX_BATCH_SPANS ? 0 : GATHER_MS);
  entry.isDue = true;
  const startedAt = Date.now();
  if (!entry.isQueued || startedAt < senderAliveUntil) return;
  while (isBatchDue() && Date.now() - startedAt < SENDER_LIMIT_MS) {
    senderAliveUntil = Date.now() + SENDER_SILENCE_MS;
    await sendBatch(env, takeBatch());
    logLosses(Date.now());
  }
  senderAliveUntil = 0;
}

function isBatchDue(): boolean {
  return queuedSpans >= MAX_BATCH_SPANS || queue[0]?.isDue === true;
}

function takeBatch(): Entry[] {
  const batch: Entry[] = [];
  let spans = 0;
  for (;;) {
    const next = queue[0];
    if (next === undefined || (batch.length > 0 && spans + next.spanCount > MAX_BATCH_SPANS)) return batch;
    takeOldest();
    batch.push(next);
    spans += next.spanCount;
  }
}

async function sendBatch(env: ExporterEnv, batch: readonly Entry[]): Promise<void> {
  const spans = batch.flatMap(({ trace, parent }) => toSpans(trace, parent));
  const failure = await send(env, JSON.stringify(toExportRequest(spans, resourceOf(env))));
  if (failure === null) return;
  losses.failed += spans.length;
  losses.lastFailure = failure;
}

async function send(env: ExporterEnv, body: string): Promise<Failure | null> {
  const url = tracesUrl(env);
  if (url === null) return { reason: "endpoint" };
  const headers = parseHeaders(env.OTEL_EXPORTER_OTLP_HEADERS ?? "");
  headers.set("content-type", "application/json");
  const first = await post(url, headers, body);
  if (first === null || first.retryAfterMs === null || first.retryAfterMs > MAX_RETRY_PAUSE_MS) return first;
  await scheduler.wait(first.retryAfterMs);
  return post(url, headers, body);
}

/** One call. `retryAfterMs`: `null` when the same call can only fail again. */
async function post(
  url: string,
  headers: Headers,
  body: string,
): Promise<(Failure & { readonly retryAfterMs: number | null }) | null> {
  // Spread, so that a collector that comes back is not met by all isolates at once.
  const pauseMs = RETRY_PAUSE_MS * (0.5 + Math.random());
  try {
    const signal = AbortSignal.timeout(CALL_LIMIT_MS);
    // A redirect would take the credential to an address that was not checked.
    const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
    const { status, ok } = response;
    await response.body?.cancel();
    if (ok) return null;
    const mayPass = RETRYABLE.has(status);
    const retryAfterMs = mayPass ? (retryDelayMs(response.headers, undefined, Date.now()) ?? pauseMs) : null;
    return { reason: "status", status, retryAfterMs };
  } catch (error) {
    const isTimeout = error instanceof Error && error.name === "TimeoutError";
    return { reason: isTimeout ? "timeout" : "network", retryAfterMs: pauseMs };
  }
}

/** The address of the traces signal: below the base, unless the base is that address already. */
export function tracesUrl(env: ExporterEnv): string | null {
  const reach = env.FLOW_ALLOW_PRIVATE_UPSTREAMS === "1" ? "any" : "public";
  const base = upstreamUrl(env.OTEL_EXPORTER_OTLP_ENDPOINT ?? "", reach);
  if (base === null) return null;
  return base.endsWith("/v1/traces") ? base : `${base}/v1/traces`;
}

const SERVICE = "flow-layer";

/** Who sends the spans. `OTEL_SERVICE_NAME` wins over a `service.name` among the attributes, as OpenTelemetry has it. */
function resourceOf(env: ExporterEnv): Readonly<Record<string, string>> {
  const { OTEL_SERVICE_NAME: name, OTEL_RESOURCE_ATTRIBUTES: others = "" } = env;
  const own = name === undefined || name === "" ? {} : { "service.name": name };
  return { "service.name": SERVICE, ...Object.fromEntries(pairsOf(others)), ...own };
}

/**
 * `name=value,name=value`, values percent-decoded (OpenTelemetry, "Specifying headers via environment variables"). What
 * cannot be a header is left out: one bad entry must not stop the others.
 */
export function parseHeaders(text: string): Headers {
  const headers = new Headers();
  for (const [name, value] of pairsOf(text)) {
    try {
      headers.set(name, value);
    } catch {
      // Not a header's name or value. It may be a secret, so it is not logged either.
    }
  }
  return headers;
}

/** The pairs of such a list, without those that have no name. */
function pairsOf(text: string): readonly (readonly [string, string])[] {
  return text.split(",").flatMap((pair) => {
    const separator = pair.indexOf("=");
    const name = pair.slice(0, Math.max(0, separator)).trim();
    return name === "" ? [] : [[name, decodePercent(pair.slice(separator + 1).trim())] as const];
  });
}

/** A stray `%` is taken as it is: operators paste values that were never encoded. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** At most one line a minute; what was lost in between is in the next. Never the address, which may hold a secret. */
function logLosses(now: number): void {
  const { failed, dropped, lastFailure, loggedAt } = losses;
  if (failed + dropped === 0 || now - loggedAt < LOG_EVERY_MS) return;
  log({
    event: "otlp_export_failed",
    reason: failed === 0 ? "queue_full" : lastFailure?.reason,
    status: lastFailure?.reason === "status" ? lastFailure.status : undefined,
    failed_spans: failed,
    dropped_spans: dropped,
  });
  losses.failed = losses.dropped = 0;
  losses.lastFailure = null;
  losses.loggedAt = now;
}
