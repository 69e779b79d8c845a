/**
 * `response_format` on a vendor that has JSON Schema output but no JSON mode.
 *
 * Pure. Three ways, best first: the vendor's own structured output; one forced tool whose input is the answer (models
 * before 4.5, and schemas that leave an object open); an instruction, where a tool cannot be forced. The forced tool
 * has a reserved name, by which the answer's reader knows it and writes its input as text.
 */
import { closed, isOpen, objectSchema } from "../closed-schema.ts";
import { responseFormatOf } from "../openai-chat/chat-wire.ts";

type Json = Readonly<Record<string, unknown>>;

/** The reserved name of the tool that stands for the answer. */
export const ANSWER_TOOL = "flow_json_answer";

export type AnswerFormat =
  | { readonly kind: "text" }
  | { readonly kind: "native"; readonly schema: Json }
  | { readonly kind: "tool"; readonly tool: Json }
  | { readonly kind: "instruction"; readonly text: string };

export interface FormatSetting {
  readonly nativeSchema: boolean;
  /** This request may force a tool: the model allows it and does not think. */
  readonly mayForce: boolean;
}

export function answerFormatOf(fields: Json, { nativeSchema, mayForce }: FormatSetting): AnswerFormat {
  const format = responseFormatOf(fields);
  if (format.kind === "text") return { kind: "text" };
  const schema = format.kind === "json_schema" ? format.schema : null;
  if (schema !== null && nativeSchema && !isOpen(schema)) return { kind: "native", schema: closed(schema) };
  if (mayForce) return { kind: "tool", tool: answerTool(schema) };
  if (schema !== null && nativeSchema) return { kind: "native", schema: closed(schema) };
  const shape = schema === null ? "" : ` It must match this JSON Schema: ${JSON.stringify(schema)}`;
  return {
    kind: "instruction",
    text: `Answer with one JSON object and nothing else: no Markdown fence, no text before or after it.${shape}`,
  };
}

function answerTool(schema: Json | null): Json {
  return {
    name: ANSWER_TOOL,
    description:
      "Gives the final answer. The input of this tool is the answer itself: one JSON object with exactly the members the conversation asks for.",
    input_schema: schema === null ? { type: "object", additionalProperties: true } : objectSchema(schema),
  };
}
