/**
 * A trace as OpenTelemetry spans, in the JSON encoding of OTLP.
 *
 * Pure. A request is one SERVER span, each of its attempts a CLIENT span below it. Names on attempts are those of the
 * GenAI semantic conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/), and `flowlayer.*` where
 * they have none. The request's span has no `gen_ai.*` at all: backends count each span that has them as a generation and
 * add up its tokens, so a second copy would be counted twice. For the same reason tokens stand on the billed attempt only.
 *
 * Every attribute is named one by one, and none holds a message, an argument, a tag or a secret.
 */
import type { Trace, TraceAttempt, TraceUsage } from "./schema.ts";

/** The caller's span, from its `traceparent` header. */
export interface TraceParent {
  /** 32 hex digits, not all zero. */
  readonly traceId: string;
  /** 16 hex digits, not all zero. */
  readonly spanId: string;
  /** The caller records its own span. */
  readonly sampled: boolean;
}

// W3C Trace Context level 2, sections 3.2 and 4.3: version `ff` and ids of zeros are invalid; a version we do not know
// is read by the fields we do know, and may have more behind them.
const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** The parent a `traceparent` header names; `null` for none or for anything malformed. */
export function parseTraceparent(header: string | null): TraceParent | null {
  const [, version, traceId = "", spanId = "", flags = "", more] = TRACEPARENT.exec(header ?? "") ?? [];
  if (version === undefined || (version === "00" && more !== undefined)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

/** 64-bit whole numbers are strings in OTLP/JSON, ids are hex, enums are numbers. */
type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } };

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

/** Numbers of `SpanKind` and `StatusCode` in opentelemetry/proto/trace/v1/trace.proto. */
export const SPAN_KIND = { server: 2, client: 3 } as const;
export const STATUS_CODE = { unset: 0, error: 2 } as const;

/** `SpanFlags` of the same file: the W3C flags, and whether the parent is known to be in another process. */
const FLAGS = { sampled: SAMPLED, hasIsRemote: 0x100, isRemote: 0x200 } as const;

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly status: { readonly code: number };
}

/** Our ids of providers, where the conventions have another name for the same provider. */
const PROVIDER_NAMES: ReadonlyMap<string, string> = new Map([
  ["azure", "azure.ai.openai"],
  ["bedrock", "aws.bedrock"],
  ["google", "gcp.gemini"],
  ["mistral", "mistral_ai"],
  ["moonshot", "moonshot_ai"],
  ["xai", "x_ai"],
]);

/** The spans of one request, the request's own first. The same trace always has the same ids: sending twice is safe. */
export function toSpans(trace: Trace, parent: TraceParent | null): Span[] {
  const startMs = Date.parse(trace.created_at);
  const traceId = parent?.traceId ?? hash128(trace.id);
  const spanId = hash128(`${trace.id} request`).slice(16);
  const isFailed = trace.status === "error";
  const operation = operationOf(trace);
  const request: Span = {
    traceId,
    spanId,
    ...(parent === null ? {} : { parentSpanId: parent.spanId }),
    flags: FLAGS.sampled | FLAGS.hasIsRemote | (parent === null ? 0 : FLAGS.isRemote),
    name: `${operation} ${trace.route}`,
    kind: SPAN_KIND.server,
    startTimeUnixNano: toNanoText(startMs),
    endTimeUnixNano: toNanoText(startMs + trace.latency.total_ms),
    attributes: requestAttributes(trace),
    status: { code: isFailed ? STATUS_CODE.error : STATUS_CODE.unset },
  };
  const billed = billedAttempt(trace);
  const attempts = trace.attempts.map((attempt, index): Span => {
    const attemptStartMs = startMs + attempt.started_ms;
    return {
      traceId,
      spanId: hash128(`${trace.id} attempt ${index}`).slice(16),
      parentSpanId: spanId,
      flags: FLAGS.sampled | FLAGS.hasIsRemote,
      name: `${operation} ${attempt.model}`,
      kind: SPAN_KIND.client,
      startTimeUnixNano: toNanoText(attemptStartMs),
      endTimeUnixNano: toNanoText(attemptStartMs + attempt.duration_ms),
      attributes: attemptAttributes(trace, attempt, attempt === billed ? trace.usage : null),
      status: { code: isFailure(attempt) ? STATUS_CODE.error : STATUS_CODE.unset },
    };
  });
  return [request, ...attempts];
}

/** The body of one export. `resource`: what is the same of all spans, above all `service.name`. */
export function toExportRequest(spans: readonly Span[], resource: Readonly<Record<string, string>>): object {
  const scopeSpans = [{ scope: { name: "flow-layer" }, spans }];
  return { resourceSpans: [{ resource: { attributes: attributes(resource) }, scopeSpans }] };
}

/** A client that left is neither success nor failure of ours. */
function isFailure({ outcome }: TraceAttempt): boolean {
  return outcome !== "ok" && outcome !== "cancelled";
}

/** Whose tokens the trace counts: the answer's, or, when the client left before one, of the provider last asked. */
function billedAttempt(trace: Trace): TraceAttempt | undefined {
  if (trace.usage.source === "none") return undefined;
  return trace.attempts.find((attempt) => attempt.winner) ?? trace.attempts.at(-1);
}

function requestAttributes(trace: Trace): KeyValue[] {
  const isAnswered = trace.status === "ok" || trace.status === "cancelled";
  return attributes({
    "http.response.status_code": int(trace.http_status),
    "error.type": isAnswered ? undefined : (trace.error_code ?? String(trace.http_status)),
    "flowlayer.trace_id": trace.id,
    "flowlayer.status": trace.status,
    "flowlayer.api": trace.api,
    "flowlayer.key_id": trace.key_id,
    "flowlayer.route": trace.route,
    "flowlayer.route_version": int(trace.route_version),
    "flowlayer.app": trace.app,
    "flowlayer.env": trace.env,
    "flowlayer.stream": trace.stream ? true : undefined,
    "flowlayer.provider": trace.provider,
    "flowlayer.model": trace.model,
    "flowlayer.fallback": trace.fallback,
    "flowlayer.affinity": trace.affinity,
    "flowlayer.cost_usd": double(trace.cost_usd),
    "flowlayer.tool_calls": trace.tool_calls,
  });
}

/** `usage`: of the billed attempt only. */
function attemptAttributes(trace: Trace, attempt: TraceAttempt, usage: TraceUsage | null): KeyValue[] {
  return attributes({
    "gen_ai.operation.name": operationOf(trace),
    "gen_ai.provider.name": providerName(attempt.provider),
    "gen_ai.request.model": attempt.model,
    "gen_ai.request.stream": trace.stream ? true : undefined,
    "gen_ai.response.model": attempt.winner ? attempt.model : undefined,
    "gen_ai.usage.input_tokens": int(usage?.prompt_tokens),
    "gen_ai.usage.output_tokens": int(usage?.completion_tokens),
    "gen_ai.usage.cache_read.input_tokens": ifAny(usage?.cached_tokens),
    "gen_ai.usage.cache_creation.input_tokens": ifAny(usage?.cache_write_tokens),
    "gen_ai.usage.reasoning.output_tokens": ifAny(usage?.reasoning_tokens),
    "http.response.status_code": int(attempt.status),
    "error.type": isFailure(attempt) ? attempt.outcome : undefined,
    "flowlayer.attempt.outcome": attempt.outcome,
    "flowlayer.attempt.winner": attempt.winner,
    "flowlayer.attempt.credential": int(attempt.credential),
    "flowlayer.attempt.first_token_ms": int(attempt.first_token_ms),
    "flowlayer.attempt.cost_usd": double(attempt.cost_usd),
  });
}

/** `gen_ai.operation.name` of a trace, whose `api` is absent on those of an older release: they were all chats. */
function operationOf({ api }: Trace): "chat" | "embeddings" {
  return api === "embeddings" ? "embeddings" : "chat";
}

function providerName(provider: string): string {
  return PROVIDER_NAMES.get(provider) ?? provider;
}

/** Members without a value, and empty lists, are left out: absent means unknown. */
function attributes(
  members: Readonly<Record<string, string | boolean | readonly string[] | AnyValue | null | undefined>>,
): KeyValue[] {
  const list: KeyValue[] = [];
  for (const [key, member] of Object.entries(members)) {
    const value = anyValue(member);
    if (value !== undefined) list.push({ key, value });
  }
  return list;
}

function anyValue(member: string | boolean | readonly string[] | AnyValue | null | undefined): AnyValue | undefined {
  if (member === null || member === undefined) return undefined;
  if (typeof member === "string") return { stringValue: member };
  if (typeof member === "boolean") return { boolValue: member };
  if (!("length" in member)) return member;
  return member.length === 0 ? undefined : { arrayValue: { values: member.map((stringValue) => ({ stringValue })) } };
}

function int(value: number | null | undefined): AnyValue | undefined {
  return value === null || value === undefined ? undefined : { intValue: String(value) };
}

/** For counts a provider may not know at all: a trace holds 0 for them too. */
function ifAny(value: number | undefined): AnyValue | undefined {
  return value === 0 ? undefined : int(value);
}

function double(value: number | null): AnyValue | undefined {
  return value === null ? undefined : { doubleValue: value };
}

/** Epoch ms as the text of nanoseconds, which a number could not hold exactly. */
function toNanoText(epochMs: number): string {
  return `${epochMs}000000`;
}

/**
 * 128 bits of `text` as 32 hex digits. To spread ids, not to hide anything: a trace id has 71 random bits, and each of
 * the four lanes is fed by its neighbour, so that together they keep them apart.
 */
function hash128(text: string): string {
  let a = 0x6a09e667;
  let b = 0xbb67ae85;
  let c = 0x3c6ef372;
  let d = 0xa54ff53a;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = b ^ Math.imul(a ^ code, 0x9e3779b1);
    b = c ^ Math.imul(b ^ code, 0x85ebca77);
    c = d ^ Math.imul(c ^ code, 0xc2b2ae3d);
    d = a ^ Math.imul(d ^ code, 0x27d4eb2f);
  }
  return [a ^ b, b ^ c, c ^ d, d ^ a ^ c].map(finish).join("");
}

/** The finaliser of MurmurHash3: every bit of a lane reaches every other. */
function finish(lane: number): string {
  let mixed = Math.imul(lane ^ (lane >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0).toString(16).padStart(8, "0");
}
