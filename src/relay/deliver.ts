/**
 * Stage 6: from an accepted answer to the client's response, and to what it used and cost.
 *
 * `toWholeResponse` splices the router's members into the vendor's own text; `toStreamResponse` completes the trace
 * headers before the first byte leaves, because nothing can be added to them after.
 */
import { calledTools } from "../approvals/calls.ts";
import { type Release, releaseChoices, toolApproval } from "../approvals/release.ts";
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject, JsonEdit } from "../lib/json.ts";
import { basisOf, type CostBasis, costOf } from "../pricing/price.ts";
import { readConditions } from "../pricing/surcharge-rules.ts";
import { countUsage, readUsage } from "../pricing/usage.ts";
import type { UsageSource } from "../traces/schema.ts";
import { usageOf } from "../wires/openai-chat/chunk.ts";
import type { Attempt, Exchange } from "./trace.ts";
import type { Answer, Candidate } from "./types.ts";

/** Tokens of an answer, where the figures come from, and what they cost (`null`: the price is unknown). */
export interface Bill {
  readonly usage: Usage;
  readonly usageSource: UsageSource;
  readonly costNanoUsd: number | null;
  /** What the cost was made of, for the ledger. */
  readonly costBasis: CostBasis;
}

/** Of an answer without figures of the vendor's, about. */
export const CHARACTERS_PER_TOKEN = 4;

/** The vendor's figures, or a count of what went by when it sent none. `startedAt`: of the attempt, epoch ms. */
export function billFor(
  candidate: Candidate,
  rawUsage: unknown,
  bodyLength: number,
  contentEvents: number,
  startedAt = Date.now(),
): Bill {
  const { provider } = candidate.target;
  const reported = readUsage(rawUsage, provider);
  const usage = reported ?? countUsage(bodyLength, contentEvents);
  const conditions = readConditions(rawUsage, { provider, startedAt, baseUrl: candidate.config.baseUrl });
  const cost = costOf(usage, candidate.facts.price, conditions);
  return {
    usage,
    usageSource: reported === null ? "counted" : "upstream",
    costNanoUsd: cost.nanoUsd,
    costBasis: basisOf(rawUsage, usage, cost, conditions),
  };
}

/** Puts what was billed on an attempt's record. */
export function noteBill(attempt: Attempt, { costNanoUsd, costBasis, usageSource }: Bill): void {
  // What has a bound is never free: a bill that nobody can work out costs all that was held for it.
  const isUnknown = costNanoUsd === null && attempt.boundNanoUsd > 0;
  attempt.costNanoUsd = isUnknown ? attempt.boundNanoUsd : costNanoUsd;
  attempt.usageSource = isUnknown ? "upper_bound" : usageSource;
  attempt.costBasis = costBasis;
}

export type WholeUpstream = Extract<Answer, { kind: "whole" }>;

/** What a whole answer used and cost, and the tools it calls. `bodyLength`: of the request, in characters. */
export function billWhole(
  { candidate, attempt, whole }: WholeUpstream,
  bodyLength: number,
): { readonly bill: Bill; readonly toolCalls: readonly string[] } {
  const messages = choicesOf(whole.body)
    .map((choice) => (isJsonObject(choice) ? choice["message"] : undefined))
    .filter(isJsonObject);
  const events = Math.ceil(contentLength(messages) / CHARACTERS_PER_TOKEN);
  const bill = billFor(candidate, usageOf(whole.body), bodyLength, events, attempt.startedAt);
  return { bill, toolCalls: messages.flatMap(calledTools) };
}

/**
 * The vendor's answer with `flow`, and with `usage` and `model` where it left them out. `release`: what may go out of its
 * tool calls, where they need approval.
 */
export function toWholeResponse(
  exchange: Exchange,
  { candidate, whole }: WholeUpstream,
  bill: Bill,
  release: Release | null,
): Response {
  const { text, body } = whole;
  const edit = new JsonEdit(text);
  if (!isJsonObject(body["usage"])) edit.set("usage", toWireUsage(bill.usage));
  if (typeof body["model"] !== "string") edit.set("model", candidate.target.model);
  const choices = release === null ? null : releaseChoices(choicesOf(body), release);
  if (choices !== null) edit.set("choices", choices);
  const now = Date.now();
  const flow = exchange.toFlow(now, exchange.costNanoUsd);
  edit.set("flow", release === null ? flow : { ...flow, tool_approval: toolApproval(release) });
  return toJsonResponse(exchange, edit.toString(), now);
}

/** A whole answer that is ready to go at `now`, epoch ms. */
export function toJsonResponse(exchange: Exchange, text: string, now: number): Response {
  const headers = exchange.toHeaders(now, exchange.costNanoUsd);
  headers["content-type"] = "application/json";
  headers["cache-control"] = "no-store";
  headers["x-content-type-options"] = "nosniff";
  return new Response(text, { headers });
}

function choicesOf({ choices }: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Array.isArray(choices) ? choices : [];
}

export function toStreamResponse(exchange: Exchange, readable: ReadableStream<Uint8Array>): Response {
  const headers = exchange.toHeaders(Date.now());
  headers["content-type"] = "text/event-stream; charset=utf-8";
  // Proxies on the way must neither buffer nor compress: each event is worth its arrival time.
  headers["cache-control"] = "no-cache, no-transform";
  headers["x-accel-buffering"] = "no";
  headers["x-content-type-options"] = "nosniff";
  return new Response(readable, { headers });
}

function contentLength(messages: readonly Record<string, unknown>[]): number {
  let length = 0;
  for (const { content, reasoning_content, tool_calls } of messages) {
    if (typeof content === "string") length += content.length;
    if (typeof reasoning_content === "string") length += reasoning_content.length;
    if (Array.isArray(tool_calls)) length += JSON.stringify(tool_calls).length;
  }
  return length;
}

function toWireUsage(usage: Usage): Record<string, unknown> {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}
