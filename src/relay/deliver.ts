/**
 * Stage 6: from an accepted answer to the client's response.
 *
 * `toWholeResponse` splices the router's members into the provider's own text; `toStreamResponse` completes the trace
 * headers before the first byte leaves, because nothing can be added to them after.
 */
import { callsOfAnswer, toolApproval } from "../approvals/release.ts";
import type { AnswerEvent } from "../conversation/answer.ts";
import type { Json } from "../conversation/part.ts";
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject, JsonEdit } from "../lib/json.ts";
import { stringifyRaw } from "../lib/raw-json.ts";
import type { DoorWire } from "../wires/wire.ts";
import type { ReleasedAnswer } from "./approval/approval.ts";
import { keepText, wireUsage } from "./last-words.ts";
import type { Exchange } from "./trace.ts";
import type { Answer, KeepAnswer, WholeAnswer } from "./types.ts";

export type WholeUpstream = Extract<Answer, { kind: "whole" }>;

/** Names of the tools that a whole answer calls. */
export function toolsCalled(whole: WholeAnswer): readonly string[] {
  return callsOfAnswer(whole.toAnswer()).flatMap(({ name }) => (name === "" ? [] : [name]));
}

/**
 * The provider's answer with `flow`, and with `usage` and `model` where it left them out. `released`: what goes out in its
 * place where tool calls need approval.
 */
export async function toWholeResponse(
  exchange: Exchange,
  { candidate, attempt, whole }: WholeUpstream,
  released: ReleasedAnswer | null,
  wire: DoorWire,
  keep: KeepAnswer | null,
): Promise<Response> {
  const answer = released?.answer ?? null;
  const text = answer === null ? whole.text : stringifyRaw(wire.writeAnswer(answer, whole.context));
  const edit = new JsonEdit(text);
  if (!hasUsage(whole, wire)) {
    const { usage } = exchange.bill(attempt);
    const counts = { prompt: usage.promptTokens, completion: usage.completionTokens };
    edit.set("usage", wireUsage(counts, toChatUsage(usage), wire, whole.context));
  }
  if (typeof whole.body["model"] !== "string") edit.set("model", candidate.target.model);
  const kept = await keepText(edit, keep, { wire, context: whole.context });
  const now = Date.now();
  const flow = { ...exchange.toFlow(now, exchange.costNanoUsd), ...kept.flow };
  const release = released?.release ?? null;
  edit.set("flow", release === null ? flow : { ...flow, tool_approval: toolApproval(release) });
  return toJsonResponse(exchange, edit.toString(), now);
}

/** A whole answer that is ready to go at `now`, epoch ms. */
export function toJsonResponse(exchange: Exchange, text: string, now: number): Response {
  return new Response(text, { headers: jsonHeaders(exchange, now) });
}

export function jsonHeaders(exchange: Exchange, now: number): Record<string, string> {
  const headers = exchange.toHeaders(now, exchange.costNanoUsd);
  headers["content-type"] = "application/json";
  headers["cache-control"] = "no-store";
  headers["x-content-type-options"] = "nosniff";
  return headers;
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

/** What the chunk behind a complete stream says of it: the provider's own usage, else ours, and what all of it cost. */
export function reportOf(exchange: Exchange): { readonly usage: Json; readonly flow: Json } {
  const raw = exchange.winner?.received.rawUsage;
  return {
    usage: isJsonObject(raw) ? raw : toChatUsage(exchange.answerBill.usage),
    flow: exchange.toFlow(Date.now(), exchange.costNanoUsd),
  };
}

/** Usage for the end of a stream whose provider told none: what the answer is billed by. `null`: it told some. */
export function countedUsage(exchange: Exchange): Extract<AnswerEvent, { kind: "usage" }> | null {
  if (isJsonObject(exchange.winner?.received.rawUsage)) return null;
  const { usage } = exchange.answerBill;
  const counts = { prompt: usage.promptTokens, completion: usage.completionTokens };
  return { kind: "usage", counts, raw: toChatUsage(usage) };
}

/** An answer in another wire is written from what was read, and has figures there only where the provider gave some. */
function hasUsage(whole: WholeAnswer, wire: DoorWire): boolean {
  return wire.id === "openai-chat" ? isJsonObject(whole.body["usage"]) : whole.toAnswer().usage !== null;
}

function toChatUsage(usage: Usage): Record<string, unknown> {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}
