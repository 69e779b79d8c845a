/**
 * How an answer ended, both ways.
 *
 * https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
 */
import type { Finish, FinishReason } from "../../conversation/answer.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";

const REASONS: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool_calls"],
  ["refusal", "content_filter"],
]);
/**
 * The turn is not over: the provider waits for it to be sent back. Reported as an end, half an answer would look
 * complete.
 */
const UNFINISHED: ReadonlySet<unknown> = new Set(["pause_turn", "compaction"]);

export function isUnfinished(reason: unknown): boolean {
  return UNFINISHED.has(reason);
}

/** The error to report in place of an end that is none. */
export const PAUSED: Json = {
  type: "error",
  error: { type: "pause_turn", message: "The provider paused its answer before the end." },
};

/** `source`: what says `stop_reason`. An unknown reason is taken for an end of the model's choice. */
export function readFinish(source: Json, calls: number): Finish {
  const native = String(source["stop_reason"]);
  const reason = REASONS.get(native) ?? "stop";
  const sequence = source["stop_sequence"];
  const details = source["stop_details"];
  return {
    reason: ended(reason, calls),
    native,
    ...(typeof sequence === "string" ? { stopSequence: sequence } : {}),
    ...(isJsonObject(details) ? { details: { stop_details: details } } : {}),
  };
}

/** The client has to run a tool only where there is a call; where there is one, the answer did not just stop. */
function ended(reason: FinishReason, calls: number): FinishReason {
  if (reason === "tool_calls" && calls === 0) return "stop";
  return reason === "stop" && calls > 0 ? "tool_calls" : reason;
}

/** Why a model refused, by its provider. */
export function refusalOf(source: Json): string | undefined {
  const details = source["stop_reason"] === "refusal" ? source["stop_details"] : undefined;
  const explanation = isJsonObject(details) ? details["explanation"] : undefined;
  return typeof explanation === "string" && explanation !== "" ? explanation : undefined;
}

/** The provider's word for an end, from any source. */
export function stopReasonOf({ reason, native, stopSequence }: Finish, hasCalls: boolean): string {
  if (hasCalls && reason !== "length" && reason !== "content_filter") return "tool_use";
  switch (reason) {
    case "stop":
      if (isUnfinished(native)) return String(native);
      return stopSequence === undefined ? "end_turn" : "stop_sequence";
    case "length":
      return native === "model_context_window_exceeded" ? native : "max_tokens";
    case "tool_calls":
      return "tool_use";
    case "content_filter":
      return "refusal";
  }
}
