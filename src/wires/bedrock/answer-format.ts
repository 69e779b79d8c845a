/**
 * The shape of the answer: by constrained decoding, as the arguments of a tool of ours, or by an instruction.
 *
 * Pure, and the same for the writer of the request and the reader of its answer. The tool's name is how the reader
 * knows it: its arguments become the content again.
 */
import type { Conversation } from "../../conversation/conversation.ts";
import type { Json } from "../../conversation/part.ts";
import { closed, isOpen, objectSchema } from "../closed-schema.ts";
import { jsonInstruction } from "../json-instruction.ts";
import { foldedRoot } from "../root-schema.ts";
import type { ModelTraits } from "./models.ts";
import { asksForReasoning } from "./reasoning.ts";

/** No client's tool is sent under this name. */
export const ANSWER_TOOL = "flow_json_answer";

export type AnswerFormat =
  | { readonly kind: "text" }
  | { readonly kind: "native"; readonly outputConfig: Json }
  | { readonly kind: "tool"; readonly toolSpec: Json }
  | { readonly kind: "instruction"; readonly text: string }
  /** A format in an unknown spelling. */
  | { readonly kind: "unknown" };

/**
 * Structured output closes every object; a schema that leaves one open can be had only from a tool, unless the model
 * shall think, which it does not before a forced call, or cannot be made to call.
 */
export function answerFormatOf({ controls }: Conversation, traits: ModelTraits): AnswerFormat {
  const format = controls.responseFormat;
  if (format === undefined || format.kind === "text") return { kind: "text" };
  if (format.kind === "opaque") return { kind: "unknown" };
  const schema = format.schema ?? null;
  const mayForce = traits.forcesTool !== "none";
  const wantsTool =
    schema === null || !traits.structuredOutput || (isOpen(schema) && !asksForReasoning(controls.reasoning));
  const description = format.kind === "json_schema" && format.description !== "" ? format.description : undefined;
  if (wantsTool && mayForce) return { kind: "tool", toolSpec: answerTool(schema, description) };
  if (schema === null || !traits.structuredOutput) return { kind: "instruction", text: jsonInstruction(schema) };
  const name = format.kind === "json_schema" ? format.name : "answer";
  return { kind: "native", outputConfig: outputConfig(schema, name, description) };
}

function answerTool(schema: Json | null, wanted: string | undefined): Json {
  const words = "Gives the final answer. Its arguments are the whole answer.";
  return {
    name: ANSWER_TOOL,
    description: wanted === undefined ? words : `${words} ${wanted}`,
    inputSchema: { json: schema === null ? { type: "object", additionalProperties: true } : foldedRoot(schema) },
  };
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_JsonSchemaDefinition.html: the schema is a text. */
function outputConfig(schema: Json, name: string, description: string | undefined): Json {
  const jsonSchema = {
    schema: JSON.stringify(objectSchema(closed(schema))),
    name,
    ...(description === undefined ? {} : { description }),
  };
  return { textFormat: { type: "json_schema", structure: { jsonSchema } } };
}
