/**
 * Tools, the choice among them, and the shape of the answer.
 *
 * Where a model has no structured output, a tool of ours takes the answer as its arguments. Its name is how the reader
 * of the answer knows it: the arguments become the content again.
 */
import { isJsonObject } from "../../lib/json.ts";
import { closed, isOpen, objectSchema } from "../closed-schema.ts";
import {
  type ResponseFormat,
  responseFormatOf,
  type Tool,
  type ToolChoice,
  toolChoiceOf,
  toolsOf,
} from "../openai-chat/chat-wire.ts";
import type { BlockWriter } from "./content.ts";
import type { ModelTraits } from "./models.ts";
import { asksForReasoning } from "./reasoning.ts";

type Json = Readonly<Record<string, unknown>>;

/** No client's tool is called this. */
export const ANSWER_TOOL = "flow_json_answer";

export interface ToolPlan {
  readonly toolConfig: Json | undefined;
  readonly outputConfig: Json | undefined;
  /** The model has to call a tool. Claude does not think then. */
  readonly isForced: boolean;
  /** Strictness was asked for where the model has none. */
  readonly droppedStrict: boolean;
}

/** Tools of Converse's own shape, as a policy may write them. */
export function isNativeTool(tool: Json): boolean {
  return isJsonObject(tool["toolSpec"]) || isJsonObject(tool["systemTool"]) || isJsonObject(tool["cachePoint"]);
}

/**
 * Must the answer come as the arguments of our own tool? Structured output closes every object; a schema that leaves one
 * open can be had only from a tool, unless the model shall reason, which it does not before a forced call.
 */
export function needsAnswerTool(fields: Json, traits: ModelTraits): boolean {
  const format = responseFormatOf(fields);
  if (format.kind !== "json_schema") return format.kind === "json_object";
  return !traits.structuredOutput || (isOpen(format.schema) && !asksForReasoning(fields));
}

/** What the client asks to be called, apart from the shape of the answer. */
function mayCallTools(fields: Json): boolean {
  const { tools, others } = toolsOf(fields);
  return tools.length + others.length > 0 && toolChoiceOf(fields)?.kind !== "none";
}

export function planTools(fields: Json, traits: ModelTraits, writer: BlockWriter): ToolPlan {
  const choice = toolChoiceOf(fields);
  const format = responseFormatOf(fields);
  const all = toolsOf(fields);
  const callable = mayCallTools(fields) ? selected(all.tools, choice, traits) : [];
  const others = mayCallTools(fields) ? all.others.filter(isNativeTool) : [];
  const mustCall = callable.length > 0 && isRequired(choice);
  // A call was demanded: then there is no answer whose shape could matter.
  const byTool = needsAnswerTool(fields, traits);
  const answerTool = byTool && !mustCall ? answerToolOf(format, fields) : null;
  const specs = callable.flatMap((tool) => [toolSpec(tool, traits), ...writer.cachePoint(cacheSource(tool), "tools")]);
  const tools = [...specs, ...others, ...(answerTool === null ? [] : [answerTool])];
  const toolChoice = answerTool === null ? choiceOf(choice, traits) : forAnswer(tools.length, traits);
  return {
    toolConfig: tools.length === 0 ? undefined : { tools, ...(toolChoice === undefined ? {} : { toolChoice }) },
    outputConfig:
      format.kind === "json_schema" && !byTool && traits.structuredOutput ? outputConfig(format, fields) : undefined,
    isForced: mustCall || answerTool !== null,
    droppedStrict: !traits.structuredOutput && callable.some((tool) => tool.strict),
  };
}

const isRequired = (choice: ToolChoice | undefined): boolean =>
  choice?.kind === "required" ||
  choice?.kind === "function" ||
  (choice?.kind === "allowed" && choice.mode === "required");

/** The tools among which there is a choice. Mistral cannot be told a name, but can be given that tool alone. */
function selected(tools: readonly Tool[], choice: ToolChoice | undefined, traits: ModelTraits): readonly Tool[] {
  if (choice?.kind === "allowed") return tools.filter(({ name }) => choice.names.includes(name));
  if (choice?.kind === "function" && traits.toolChoice === "any")
    return tools.filter(({ name }) => name === choice.name);
  return tools;
}

function choiceOf(choice: ToolChoice | undefined, traits: ModelTraits): Json | undefined {
  switch (choice?.kind) {
    case undefined:
    case "none":
      return undefined;
    case "auto":
      return traits.toolChoice === "none" ? undefined : { auto: {} };
    case "required":
      return { any: {} };
    case "function":
      return traits.toolChoice === "any" ? { any: {} } : { tool: { name: choice.name } };
    case "allowed":
      return choice.mode === "required" ? { any: {} } : traits.toolChoice === "none" ? undefined : { auto: {} };
  }
}

function forAnswer(toolCount: number, traits: ModelTraits): Json {
  return toolCount === 1 && traits.toolChoice !== "any" ? { tool: { name: ANSWER_TOOL } } : { any: {} };
}

function toolSpec(tool: Tool, traits: ModelTraits): Json {
  const { name, description, parameters, strict } = tool;
  const isStrict = strict && traits.structuredOutput;
  return {
    toolSpec: {
      name,
      // An empty description is refused.
      ...(description === undefined || description === "" ? {} : { description }),
      inputSchema: { json: isStrict ? objectSchema(closed(parameters)) : objectSchema(parameters) },
      ...(isStrict ? { strict: true } : {}),
    },
  };
}

const cacheSource = ({ source }: Tool): Json =>
  source["cache_control"] === undefined && isJsonObject(source["function"]) ? source["function"] : source;

function answerToolOf(format: ResponseFormat, fields: Json): Json {
  const schema = format.kind === "json_schema" ? format.schema : { type: "object", additionalProperties: true };
  const wanted = format.kind === "json_schema" ? descriptionOf(fields) : undefined;
  const description = `Gives the final answer. Its arguments are the whole answer.${wanted === undefined ? "" : ` ${wanted}`}`;
  return { toolSpec: { name: ANSWER_TOOL, description, inputSchema: { json: objectSchema(schema) } } };
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_JsonSchemaDefinition.html: the schema is a text. */
function outputConfig(format: Extract<ResponseFormat, { kind: "json_schema" }>, fields: Json): Json {
  const description = descriptionOf(fields);
  const jsonSchema = {
    schema: JSON.stringify(objectSchema(closed(format.schema))),
    name: format.name,
    ...(description === undefined ? {} : { description }),
  };
  return { textFormat: { type: "json_schema", structure: { jsonSchema } } };
}

function descriptionOf(fields: Json): string | undefined {
  const format = fields["response_format"];
  const detail = isJsonObject(format) ? format["json_schema"] : undefined;
  const description = isJsonObject(detail) ? detail["description"] : undefined;
  return typeof description === "string" && description !== "" ? description : undefined;
}
