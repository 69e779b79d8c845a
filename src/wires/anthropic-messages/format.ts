/**
 * The form of the answer, on a provider that has JSON Schema output but no JSON mode.
 *
 * Pure. Three ways, best first: the provider's own structured output; one forced tool whose input is the answer (models
 * before 4.5, and schemas that leave an object open); an instruction, where a tool cannot be forced. The forced tool
 * has a reserved name, by which the answer's reader knows it and writes its input as text.
 */
import type { ResponseFormat } from "../../conversation/conversation.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { closed, isOpen } from "../closed-schema.ts";
import { jsonInstruction } from "../json-instruction.ts";
import { foldedRoot } from "../root-schema.ts";

/** The reserved name of the tool that represents the answer. */
export const ANSWER_TOOL = "flow_json_answer";

export type AnswerFormat =
  | { readonly kind: "text" }
  | { readonly kind: "native"; readonly schema: Json }
  | { readonly kind: "tool"; readonly tool: Json }
  | { readonly kind: "instruction"; readonly text: string };

export interface FormatSetting {
  readonly nativeSchema: boolean;
  /** This request may force a tool: the model allows it, and no thinking that was asked for forbids it. */
  readonly mayForce: boolean;
}

export function answerFormatOf(format: ResponseFormat | undefined, setting: FormatSetting): AnswerFormat {
  switch (format?.kind) {
    case undefined:
    case "text":
    case "opaque":
      return { kind: "text" };
    case "json_object":
      return withoutSchema(format.schema ?? null, setting);
    case "json_schema": {
      const { schema, description } = format;
      const told =
        description === undefined || schema["description"] !== undefined ? schema : { ...schema, description };
      if (setting.nativeSchema && !isOpen(schema)) return { kind: "native", schema: closed(told) };
      if (!setting.mayForce && setting.nativeSchema) return { kind: "native", schema: closed(told) };
      return withoutSchema(told, setting);
    }
    default:
      return unreachable(format);
  }
}

function withoutSchema(schema: Json | null, { mayForce }: FormatSetting): AnswerFormat {
  if (mayForce) return { kind: "tool", tool: answerTool(schema) };
  return { kind: "instruction", text: jsonInstruction(schema) };
}

function answerTool(schema: Json | null): Json {
  return {
    name: ANSWER_TOOL,
    description:
      "Gives the final answer. The input of this tool is the answer itself: one JSON object with exactly the members the conversation asks for.",
    input_schema: schema === null ? { type: "object", additionalProperties: true } : foldedRoot(schema),
  };
}
