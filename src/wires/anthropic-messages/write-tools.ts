/**
 * Tools, and which of them the model must call.
 *
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
 */
import type { Conversation, FunctionTool, ProviderTool, Tool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isForced, isProviderRun } from "../../conversation/provider-tools.ts";
import { closed } from "../closed-schema.ts";
import { asFunction, customLoss } from "../custom-tools.ts";
import { foldedRoot } from "../root-schema.ts";
import { ToolNames } from "../tool-names.ts";
import { ANSWER_TOOL, type AnswerFormat } from "./format.ts";
import type { ClaudeTraits } from "./models.ts";
import { providerTool } from "./provider-blocks.ts";
import { withCacheMark } from "./write-blocks.ts";

const MAX_NAME_LENGTH = 128;
/** Above it the provider refuses the request. https://platform.claude.com/docs/en/build-with-claude/structured-outputs */
const MAX_STRICT_TOOLS = 20;
/** The names that tools are sent under. A provider's own tool keeps its name, and so does ours for the answer. */
export function toolNames(conversation: Conversation): ToolNames {
  const own = conversation.tools.flatMap(({ kind, name }) => (kind === "provider" && name !== undefined ? [name] : []));
  return new ToolNames(conversation, MAX_NAME_LENGTH, [ANSWER_TOOL, ...own]);
}

export interface ToolSetting {
  readonly traits: ClaudeTraits;
  readonly names: ToolNames;
  readonly format: AnswerFormat;
  /** Tools that were called in the conversation. */
  readonly calledTools: ReadonlySet<string>;
  readonly losses: Loss[];
}

export interface WrittenTools {
  readonly members: Json;
  /** What the system has to say where a call cannot be forced. */
  readonly note: string | null;
}

/** Does the request force a call, if the model can be made to? */
export function forcesCall({ controls, tools }: Conversation): boolean {
  const choice = controls.toolChoice;
  if (choice === undefined || tools.length === 0) return false;
  return choice.kind === "required" || choice.kind === "tool" || isForcedSet(choice);
}

function isForcedSet(choice: ToolChoice): boolean {
  return (choice.kind === "allowed" && choice.mode === "required") || choice.kind === "provider";
}

export function writeTools(conversation: Conversation, setting: ToolSetting): WrittenTools {
  const { controls, tools } = conversation;
  const { names, format, losses, traits, calledTools } = setting;
  const choice = controls.toolChoice;
  const offered = offeredTools(tools, choice, traits);
  const isStrict = mayBeStrict(offered, setting);
  const all = offered.flatMap((tool) => writeTool(tool, tools, isStrict, choice, setting));
  if (format.kind === "tool") {
    const isAlone = all.length === 0 || choice?.kind === "none";
    const forced = isAlone ? { type: "tool", name: ANSWER_TOOL } : { type: "any" };
    const named = choice?.kind === "tool" ? { type: "tool", name: names.sent(choice) } : forced;
    const members = { tools: [...all, format.tool], tool_choice: { ...named, disable_parallel_tool_use: true } };
    return { members, note: null };
  }
  if (all.length === 0) {
    // Calls in the conversation without a definition are refused: they get one, and no new calls.
    const stubs = [...calledTools].map((name) => ({ name, input_schema: { type: "object" } }));
    return { members: stubs.length === 0 ? {} : { tools: stubs, tool_choice: { type: "none" } }, note: null };
  }
  const isSingle = controls.parallelToolCalls === false;
  const wanted = choiceOf(choice, conversation, setting);
  const isForced = wanted?.["type"] === "any" || wanted?.["type"] === "tool";
  if (isForced && !traits.takesForcedTool) {
    losses.push(harmless(conversation.spelling.toolChoice ?? "tool_choice", "tool_choice"));
    return { members: { tools: all, ...choiceMember({ type: "auto" }, isSingle) }, note: noteOf(wanted) };
  }
  const used = wanted ?? (isSingle ? { type: "auto" } : null);
  return { members: { tools: all, ...(used === null ? {} : choiceMember(used, isSingle)) }, note: null };
}

function choiceMember(choice: Json, isSingle: boolean): Json {
  const single = isSingle && choice["type"] !== "none" ? { disable_parallel_tool_use: true } : {};
  return { tool_choice: { ...choice, ...single } };
}

/** Where the provider takes no forced call, asking for it is what its migration guide advises. */
function noteOf(wanted: Json | null): string {
  return wanted?.["type"] === "tool"
    ? `Call the tool ${String(wanted["name"])} now. Do not answer with text alone.`
    : "Call one of the tools now. Do not answer with text alone.";
}

/** A call of one tool that cannot be forced is asked for with that tool alone. */
function offeredTools(tools: readonly Tool[], choice: ToolChoice | undefined, traits: ClaudeTraits): readonly Tool[] {
  if (choice?.kind === "allowed") {
    const names = new Set(choice.names);
    return tools.filter((tool) => names.has(tool.name ?? "") || (tool.kind === "provider" && names.has(tool.type)));
  }
  if (choice?.kind !== "tool" || traits.takesForcedTool) return tools;
  const named = tools.filter(({ name }) => name === choice.name);
  return named.length > 0 ? named : tools;
}

function mayBeStrict(tools: readonly Tool[], { traits, losses }: ToolSetting): boolean {
  const strict = tools.filter((tool) => tool.kind === "function" && tool.strict);
  const isTaken = strict.length <= MAX_STRICT_TOOLS && traits.nativeSchema;
  if (!isTaken && strict.length > 0) losses.push(harmless("tools.strict", "schema"));
  return isTaken;
}

function writeTool(
  tool: Tool,
  tools: readonly Tool[],
  isStrict: boolean,
  choice: ToolChoice | undefined,
  setting: ToolSetting,
): readonly Json[] {
  const { names, losses } = setting;
  switch (tool.kind) {
    case "function":
      return [withCacheMark(functionTool(tool, names.sent(tool), isStrict && tool.strict), tool)];
    case "custom":
      losses.push(customLoss(tool));
      return [functionTool(asFunction(tool), names.sent(tool), false)];
    case "provider":
      return writeProviderTool(tool, tools, choice, losses);
    default:
      return unreachable(tool);
  }
}

function functionTool({ description, parameters }: FunctionTool, name: string, isStrict: boolean): Json {
  const plain = foldedRoot(parameters);
  return {
    name,
    ...(description === undefined ? {} : { description }),
    input_schema: isStrict ? closed(plain) : plain,
    ...(isStrict ? { strict: true } : {}),
  };
}

/** One that another provider runs by itself is left out where nothing forces it: the answer may do without. */
function writeProviderTool(
  tool: ProviderTool,
  tools: readonly Tool[],
  choice: ToolChoice | undefined,
  losses: Loss[],
): readonly Json[] {
  const { wire, source, path, type } = tool;
  if (wire === "anthropic-messages") return [source];
  const own = providerTool(source, (name) => losses.push(harmless(`${path}.${name}`, "member")));
  if (own !== null) return [own];
  if (isProviderRun(tool) && !isForced(tool, choice, tools, isCallable)) losses.push(unmet(path, "tool"));
  else losses.push(changesMeaning(path, "tool", `There is no tool of type ${type.slice(0, 64)} here.`));
  return [];
}

/** Tools of Anthropic's own are its to judge, in whichever wire they came. */
function isCallable(tool: Tool): boolean {
  return tool.kind !== "provider" || tool.wire === "anthropic-messages" || providerTool(tool.source, () => {}) !== null;
}

function choiceOf(
  choice: ToolChoice | undefined,
  { tools, spelling }: Conversation,
  { names, losses }: ToolSetting,
): Json | null {
  switch (choice?.kind) {
    case undefined:
      return null;
    case "none":
    case "auto":
      return { type: choice.kind };
    case "required":
      return { type: "any" };
    case "tool": {
      const tool = tools.find(({ name }) => name === choice.name);
      const namespace = tool !== undefined && tool.kind !== "provider" ? tool.namespace : undefined;
      return { type: "tool", name: names.sent({ name: choice.name, namespace }) };
    }
    case "allowed":
      return { type: choice.mode === "required" ? "any" : "auto" };
    case "provider": {
      const { type, name } = choice.source;
      const tool = tools.find((each) => each.kind === "provider" && (each.type === type || each.name === name));
      if (tool?.name !== undefined) return { type: "tool", name: tool.name };
      losses.push(unmet(spelling.toolChoice ?? "tool_choice", "tool_choice", "This choice is not known here."));
      return null;
    }
    default:
      return unreachable(choice);
  }
}
