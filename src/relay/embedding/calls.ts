/** The calls of one attempt: a batch, or its parts, each with what became of it. */

import type { EmbeddingInput, Part } from "../../embedding/parts.ts";
import { isVector, lengthOf, type RawVector, type VectorFormat } from "../../embedding/vectors.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { readText, readTextWithin } from "../../lib/read-text.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import type { EmbeddingAdapter, EmbeddingCall } from "../../providers/embeddings/adapter.ts";
import { hasError, reportsFailure } from "../../wires/openai-chat/chunk.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import type { Candidate, OpenAttempt, Opened } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

/** Three times what a call is planned for: some providers write every digit of a float64. */
const MAX_CALL_BYTES = 24 * 1_048_576;
/** Enough for any provider's error object. */
const MAX_ERROR_BODY_BYTES = 65_536;
const MAX_ERROR_BODY_MS = 1_000;

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/** What all calls of an attempt share. */
export interface CallPlan {
  readonly parts: readonly Part[];
  readonly inputs: readonly EmbeddingInput[];
  /** Tokens of each input by our own count. */
  readonly tokens: readonly number[];
  readonly format: VectorFormat;
  /** To be asked for; `undefined`: the model's own. */
  readonly askedLength: number | undefined;
  /** What every vector must have; `undefined`: as many as the others. */
  readonly length: number | undefined;
}

/** An answer to one call, checked. */
export interface CallAnswer {
  readonly text: string;
  readonly body: Json;
  readonly vectors: readonly RawVector[];
  /** Length of each of them. */
  readonly length: number;
  readonly model: string | undefined;
  /** The provider's figure, else our own count. */
  readonly promptTokens: number;
}

/** Makes the call for `part`, and notes on the attempt what it used. Rejects when it breaks or is aborted. */
export async function callPart(
  attempt: OpenAttempt,
  adapter: EmbeddingAdapter,
  plan: CallPlan,
  part: Part,
  request: ChatRequest,
): Promise<Opened<CallAnswer>> {
  const { record, abortedBy } = attempt;
  const tokens = plan.tokens.slice(part.start, part.end).reduce((sum, each) => sum + each, 0);
  record.received.beginCall(tokens);
  try {
    const answer = await call(attempt, adapter, plan, part, request, tokens);
    if (!answer.ok) record.received.failCall(tokens);
    return answer;
  } catch (error) {
    // A call that we end may be billed, one that breaks is not.
    if (abortedBy() === undefined) record.received.failCall(tokens);
    throw error;
  }
}

async function call(
  attempt: OpenAttempt,
  adapter: EmbeddingAdapter,
  plan: CallPlan,
  part: Part,
  request: ChatRequest,
  tokens: number,
): Promise<Opened<CallAnswer>> {
  const { record, classify, abortedBy } = attempt;
  const response = await send(attempt, adapter, callOf(attempt.candidate, plan, part, request));
  const { status, headers } = response;
  if (!response.ok) {
    record.status = status;
    const { text, isLate } = await readTextWithin(response, MAX_ERROR_BODY_BYTES, MAX_ERROR_BODY_MS);
    const failure = classify({ status, headers, body: text === null ? undefined : tryParseJson(text) });
    const isSilent = isLate || abortedBy() !== undefined;
    return { ok: false, failure: isSilent ? { ...failure, trySame: false } : failure };
  }
  record.status ??= status;
  const text = await readText(response, MAX_CALL_BYTES);
  const body = text === null ? undefined : tryParseJson(text);
  if (text === null || !isJsonObject(body)) return { ok: false, failure: NOT_AN_ANSWER };
  if (adapter.isNative ? reportsFailure(body) : hasError(body)) {
    return { ok: false, failure: classify({ status, headers, body }) };
  }
  const count = part.end - part.start;
  const read = adapter.read({ body, headers }, count);
  const length = read === null ? null : commonLength(read.vectors, plan.length);
  if (read === null || length === null) return { ok: false, failure: NOT_AN_ANSWER };
  record.received.answerCall(tokens, read.usage);
  const { vectors, model, usage } = read;
  const promptTokens = typeof usage?.["prompt_tokens"] === "number" ? usage["prompt_tokens"] : tokens;
  return { ok: true, value: { text, body, vectors, length, model, promptTokens } };
}

/** `null`: one is no vector, or of another length. */
function commonLength(vectors: readonly unknown[], wanted: number | undefined): number | null {
  let common = wanted ?? null;
  for (const vector of vectors) {
    const length = isVector(vector) ? lengthOf(vector) : null;
    if (length === null || length !== (common ?? length)) return null;
    common = length;
  }
  return common;
}

export function callOf({ target, config }: Candidate, plan: CallPlan, part: Part, request: ChatRequest): EmbeddingCall {
  const isWhole = part.end - part.start === plan.inputs.length;
  return {
    body: new JsonEdit(request.text, request.members).remove("route"),
    fields: request.fields,
    inputs: isWhole ? plan.inputs : plan.inputs.slice(part.start, part.end),
    isWhole,
    dimensions: plan.askedLength,
    format: plan.format,
    model: target.model,
    params: target.params,
    config,
  };
}

async function send(
  { record, signal }: OpenAttempt,
  adapter: EmbeddingAdapter,
  call: EmbeddingCall,
): Promise<Response> {
  if (adapter.send !== undefined) return adapter.send(call, signal);
  const { url, headers, body, droppedParams } = await adapter.toUpstream(call);
  record.droppedParams = droppedParams;
  // A redirect would carry the credential to a host that was not approved.
  return fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
}
