/**
 * An `Answer` as a `message`.
 *
 * Inputs of calls are `RawJson`, so that `stringifyRaw` writes the model's own text.
 * https://platform.claude.com/docs/en/api/messages
 */
import type { Answer } from "../../../conversation/answer.ts";
import { type Json, type Part, unreachable } from "../../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";
import type { AnswerContext } from "../../wire.ts";
import { stopReasonOf } from "../stop-reasons.ts";
import { writeUsage } from "../usage.ts";
import {
  callBlock,
  callCarrier,
  carrier,
  imageBlock,
  inputOf,
  isOwnCitation,
  providerBlock,
  redacted,
  signatureOf,
} from "./answer-blocks.ts";

export function writeAnswer(answer: Answer, context: AnswerContext): Json {
  const [choice] = answer.choices;
  const parts = choice?.parts ?? [];
  const finish = choice?.finish ?? { reason: "stop" };
  return {
    id: messageId(answer.id, context.traceId),
    type: "message",
    role: "assistant",
    model: answer.model ?? context.model,
    content: parts.flatMap(blocksOf),
    stop_reason: stopReasonOf(
      finish,
      parts.some(({ kind }) => kind === "call"),
    ),
    stop_sequence: finish.stopSequence ?? null,
    ...finish.details,
    usage: { ...writeUsage(answer.usage), ...tierMember(answer.extra) },
  };
}

/** Clients know a message by the beginning of its id. One that another wire made is replaced by the trace's. */
export function messageId(id: string | undefined, traceId: string): string {
  return id?.startsWith("msg_") === true ? id : `msg_${traceId.replace(/^tr_/, "")}`;
}

/** Arguments that are no JSON object have no place in a `tool_use`: such an answer is not to be written. */
export function hasUnreadableArguments({ choices }: Answer): boolean {
  return choices.some(({ parts }) =>
    parts.some((part) => part.kind === "call" && part.form === "function" && !isJsonObject(tryParseJson(part.args))),
  );
}

/** This wire's name of the tier that served. */
export function tierMember(extra: Json | undefined): Json {
  const tier = extra?.["service_tier"];
  return typeof tier === "string" ? { service_tier: tier === "default" ? "standard" : tier } : {};
}

function blocksOf(part: Part): readonly Json[] {
  switch (part.kind) {
    case "text": {
      const { text, bound, citations = [] } = part;
      const own = citations.filter(isOwnCitation);
      const others = citations.filter((citation) => !isOwnCitation(citation));
      const block = {
        ...{ type: "text", text },
        ...(own.length > 0 ? { citations: own } : {}),
        ...(others.length > 0 ? { annotations: others } : {}),
      };
      return bound === undefined ? [block] : [block, carrier("text", bound)];
    }
    case "refusal":
      return [{ type: "text", text: part.text }];
    case "reasoning": {
      const { text, form, bound } = part;
      if (text === "" && bound === undefined) return [];
      if (text === "" && bound !== undefined && bound.signature === undefined) return [redacted(bound)];
      return [{ type: "thinking", thinking: text, signature: signatureOf(form, bound) }];
    }
    case "call": {
      const carried = callCarrier(part.bound);
      const block = { ...callBlock(part), input: inputOf(part) };
      return carried === null ? [block] : [carried, block];
    }
    case "block":
      return [providerBlock(part.bound)];
    case "image": {
      const block = imageBlock(part.media);
      return block === null ? [] : [block];
    }
    case "audio":
    case "video":
    case "file":
    case "result":
    case "opaque":
      // No answer has them where the client could not ask for them.
      return [];
    default:
      return unreachable(part);
  }
}
