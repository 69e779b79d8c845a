/** Tools and the choice among them. */
import type { Conversation, FunctionTool, ProviderTool, Tool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isProviderRun } from "../../conversation/provider-tools.ts";
import { isJsonObject } from "../../lib/json.ts";
import { closed } from "../closed-schema.ts";
import { asFunction, CalledTools, customLoss } from "../custom-tools.ts";
import { foldedRoot } from "../root-schema.ts";
import { ToolNames } from "../tool-names.ts";
import { ANSWER_TOOL, type AnswerFormat } from "./answer-format.ts";
import { cachePoint } from "./messages.ts";
import type { ModelTraits } from "./models.ts";
import { SYSTEM_TOOLS } from "./own-blocks.ts";

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html */
const MAX_NAME_LENGTH = 64;

export interface WrittenTools {
  readonly toolConfig: Json | undefined;
  /** The model has to call a tool. */
  readonly isForced: boolean;
  /** A call is demanded, or asked for in words: then there is no answer whose shape could matter. */
  readonly mustCall: boolean;
  /** The instruction, where the model cannot be forced. */
  readonly instruction: string | undefined;
  readonly losses: readonly Loss[];
}

export function namesOf(conversation: Conversation): ToolNames {
  return new ToolNames(conversation, MAX_NAME_LENGTH, [ANSWER_TOOL, ...SYSTEM_TOOLS]);
}

export function calledTools(conversation: Conversation | null): CalledTools {
  return new CalledTools(conversation, conversation === null ? null : namesOf(conversation));
}

export function writeTools(
  conversation: Conversation,
  traits: ModelTraits,
  format: AnswerFormat,
  names: ToolNames,
): WrittenTools {
  const { tools, controls, spelling } = conversation;
  const choice = controls.toolChoice;
  const writer = new ToolWriter(traits, names);
  const written = tools.map((tool) => ({ tool, specs: writer.write(tool) }));
  const path = spelling.toolChoice ?? "tool_choice";
  const losses = writer.losses;
  const callable = choice?.kind === "none" ? [] : written.filter(({ tool }) => isOffered(tool, choice, traits));
  const specs = callable.flatMap((each) => each.specs);
  const isForced = isRequired(choice);
  const isUnknown = choice?.kind === "tool" && !tools.some((tool) => isNamed(tool, choice.name));
  if (choice?.kind === "provider" || isUnknown || (isForced && tools.length > 0 && specs.length === 0)) {
    losses.push(changesMeaning(path, "tool_choice", "The tool that `tool_choice` forces cannot be offered here."));
  }
  const mustCall = isForced && specs.length > 0;
  const isAsked = mustCall && traits.forcesTool === "none";
  if (isAsked) losses.push(unmet(path, "tool_choice"));
  const answerTool = format.kind === "tool" && !mustCall ? [{ toolSpec: format.toolSpec }] : [];
  const all = [...specs, ...answerTool];
  const toolChoice = answerTool.length > 0 ? forAnswer(all.length, traits) : choiceOf(choice, traits, names);
  return {
    toolConfig: all.length === 0 ? undefined : { tools: all, ...(toolChoice === undefined ? {} : { toolChoice }) },
    isForced: (mustCall && !isAsked) || answerTool.length > 0,
    mustCall,
    instruction: isAsked ? callInstruction(choice, names) : undefined,
    losses,
  };
}

class ToolWriter {
  readonly losses: Loss[] = [];
  readonly #traits: ModelTraits;
  readonly #names: ToolNames;

  constructor(traits: ModelTraits, names: ToolNames) {
    this.#traits = traits;
    this.#names = names;
  }

  write(tool: Tool): Json[] {
    switch (tool.kind) {
      case "function":
        return this.#function(tool);
      case "custom":
        this.losses.push(customLoss(tool));
        return this.#function(asFunction(tool));
      case "provider":
        return this.#native(tool);
      default:
        return unreachable(tool);
    }
  }

  #function(tool: FunctionTool): Json[] {
    const { description, parameters, strict, path } = tool;
    const isStrict = strict && this.#traits.structuredOutput;
    if (strict && !isStrict) this.losses.push(harmless(`${path}.strict`, "member"));
    const schema = foldedRoot(parameters);
    const toolSpec = {
      name: this.#names.sent(tool),
      // An empty description is refused.
      ...(description === undefined || description === "" ? {} : { description }),
      inputSchema: { json: isStrict ? closed(schema) : schema },
      ...(isStrict ? { strict: true } : {}),
    };
    return [{ toolSpec }, ...this.#mark(tool.cache, path)];
  }

  #mark(cache: Json | undefined, path: string): Json[] {
    if (cache === undefined) return [];
    const mark = this.#traits.caching === "prompt_and_tools" ? cachePoint(cache) : null;
    if (mark === null) this.losses.push(harmless(`${path}.cache_control`, "member"));
    return mark === null ? [] : [mark];
  }

  /** Tools in Converse's own spelling, as a policy may write them; and what other providers run by themselves. */
  #native(tool: ProviderTool): Json[] {
    const { systemTool, toolSpec, cachePoint: mark } = tool.source;
    if (isJsonObject(systemTool) && SYSTEM_TOOLS.some((name) => name === systemTool["name"])) {
      return [{ systemTool: { name: systemTool["name"] } }];
    }
    if (isJsonObject(mark)) {
      const { ttl } = mark;
      return [{ cachePoint: { type: "default", ...(typeof ttl === "string" ? { ttl } : {}) } }];
    }
    const spec = isJsonObject(toolSpec) ? this.#spec(toolSpec) : null;
    if (spec !== null) return [spec];
    const why = `Amazon Bedrock has no tool of type \`${tool.type}\`.`;
    // A search and the like: an answer without it is worse, not wrong.
    this.losses.push(isProviderRun(tool) ? unmet(tool.path, "tool", why) : changesMeaning(tool.path, "tool", why));
    return [];
  }

  #spec({ name, description, inputSchema, strict }: Json): Json | null {
    const schema = isJsonObject(inputSchema) ? inputSchema["json"] : undefined;
    if (typeof name !== "string" || !isJsonObject(schema)) return null;
    return {
      toolSpec: {
        name: this.#names.sent({ name }),
        ...(typeof description === "string" && description !== "" ? { description } : {}),
        inputSchema: { json: foldedRoot(schema) },
        ...(strict === true ? { strict } : {}),
      },
    };
  }
}

function isNamed(tool: Tool, name: string): boolean {
  if (tool.kind !== "provider") return tool.name === name;
  const { toolSpec } = tool.source;
  return isJsonObject(toolSpec) && toolSpec["name"] === name;
}

/** The tools among which there is a choice. A model that takes no name is given that tool alone. */
function isOffered(tool: Tool, choice: ToolChoice | undefined, traits: ModelTraits): boolean {
  if (choice?.kind === "allowed") return choice.names.some((name) => isNamed(tool, name));
  if (choice?.kind !== "tool" || traits.forcesTool === "tool") return true;
  return isNamed(tool, choice.name);
}

function isRequired(choice: ToolChoice | undefined): boolean {
  return (
    choice?.kind === "required" || choice?.kind === "tool" || (choice?.kind === "allowed" && choice.mode === "required")
  );
}

function choiceOf(choice: ToolChoice | undefined, traits: ModelTraits, names: ToolNames): Json | undefined {
  const auto = traits.takesToolChoice ? { auto: {} } : undefined;
  const forced = traits.forcesTool === "none" ? auto : { any: {} };
  switch (choice?.kind) {
    case undefined:
    case "none":
    case "provider":
      return undefined;
    case "auto":
      return auto;
    case "required":
      return forced;
    case "tool":
      return traits.forcesTool === "tool" ? { tool: { name: names.sent(choice) } } : forced;
    case "allowed":
      return choice.mode === "required" ? forced : auto;
    default:
      return unreachable(choice);
  }
}

function forAnswer(toolCount: number, traits: ModelTraits): Json {
  return toolCount === 1 && traits.forcesTool === "tool" ? { tool: { name: ANSWER_TOOL } } : { any: {} };
}

function callInstruction(choice: ToolChoice | undefined, names: ToolNames): string {
  const which = choice?.kind === "tool" ? `the tool \`${names.sent(choice)}\`` : "one of the tools";
  return `Answer by calling ${which}. Do not answer in words.`;
}
