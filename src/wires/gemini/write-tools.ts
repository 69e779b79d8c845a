/**
 * Tools and the choice among them, as `tools` and `toolConfig` of Gemini.
 *
 * JSON Schemas go through untouched (`parametersJsonSchema`), because the older `parameters` knows only a part of them.
 * https://ai.google.dev/api/caching#FunctionCallingConfig, https://ai.google.dev/gemini-api/docs/tool-combination
 */
import type { Conversation, ProviderTool, ToolChoice } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isProviderRun } from "../../conversation/provider-tools.ts";
import { asFunction, customLoss } from "../custom-tools.ts";
import type { ToolNames } from "../tool-names.ts";
import { type ClientTool, clientTools } from "./called-tools.ts";
import { writeGoogleTool } from "./google-tools.ts";
import { isGemini3 } from "./thinking.ts";

export function writeTools(conversation: Conversation, names: ToolNames, losses: Loss[], model: string): Json {
  const { controls, spelling } = conversation;
  const choice = controls.toolChoice;
  const path = spelling.toolChoice ?? "tool_choice";
  const all = clientTools(conversation);
  const lookup = lookupOf(all);
  const offered = offeredTools(all, lookup, choice);
  const own = conversation.tools.filter((tool) => tool.kind === "provider");
  const written = writeProviderTools(own, choice, losses);
  // Before the third generation a request has the one or the other.
  const mayMix = offered.length === 0 || isGemini3(model);
  const native = mayMix ? written : [];
  if (!mayMix && written.length > 0) losses.push(...own.map(({ path: tool }) => unmet(tool, "tool", NOT_BOTH)));
  const tools = [
    ...(offered.length === 0
      ? []
      : [{ functionDeclarations: offered.map((tool) => declaration(tool, names, losses)) }]),
    ...native,
  ];
  noteChoice(choice, path, { offered, lookup, own, hasNative: native.length > 0 }, losses);
  if (controls.parallelToolCalls === false) {
    // Several calls at once are Gemini's way; without tools nothing was asked for.
    const name = spelling.parallelToolCalls ?? "parallel_tool_calls";
    losses.push(offered.length > 0 ? unmet(name) : harmless(name));
  }
  if (tools.length === 0) return {};
  const config =
    offered.length === 0 ? null : callingConfig(choice, offered, (name) => names.sent(lookup.get(name) ?? { name }));
  const toolConfig = {
    ...(config === null ? {} : { functionCallingConfig: config }),
    ...(native.length > 0 && offered.length > 0 ? { includeServerSideToolInvocations: true } : {}),
  };
  return { tools, ...(Object.keys(toolConfig).length === 0 ? {} : { toolConfig }) };
}

const NOT_BOTH = "This model does not take functions and tools that Google runs in one request.";

/** Tools by the names that a client may call them by in its choice: with their namespace in front, where they have one. */
type Lookup = ReadonlyMap<string, ClientTool>;

function lookupOf(tools: readonly ClientTool[]): Lookup {
  const lookup = new Map<string, ClientTool>();
  for (const tool of tools) {
    const { name, namespace } = tool;
    const names = namespace === undefined ? [name] : [name, `${namespace}.${name}`, `${namespace}__${name}`];
    for (const each of names) if (!lookup.has(each)) lookup.set(each, tool);
  }
  return lookup;
}

/** A choice among all tools of some, with text allowed: the others are as good as not there. */
function offeredTools(tools: readonly ClientTool[], lookup: Lookup, choice: ToolChoice | undefined) {
  if (choice?.kind !== "allowed" || choice.mode !== "auto") return tools;
  const chosen = new Set(choice.names.map((name) => lookup.get(name)));
  return tools.filter((tool) => chosen.has(tool));
}

function declaration(tool: ClientTool, names: ToolNames, losses: Loss[]): Json {
  const name = names.sent(tool);
  const { description } = tool;
  switch (tool.kind) {
    case "function":
      if (tool.cache !== undefined) losses.push(harmless("tools.cache_control"));
      return {
        name,
        ...(description === undefined ? {} : { description }),
        parametersJsonSchema: tool.parameters,
      };
    case "custom": {
      const loss = customLoss(tool);
      if (loss.weight !== "harmless") losses.push(loss);
      const { description: text, parameters } = asFunction(tool);
      return { name, ...(text === undefined ? {} : { description: text }), parametersJsonSchema: parameters };
    }
  }
}

/** Google's own tools, which the client offers or an operator puts into a policy's `params`. */
function writeProviderTools(own: readonly ProviderTool[], choice: ToolChoice | undefined, losses: Loss[]): Json[] {
  // Nothing shall be called, or only what is named: tools of a provider have no name of the client's.
  if (choice?.kind === "none" || choice?.kind === "allowed") return [];
  return own.flatMap((tool) => {
    const written = writeGoogleTool(tool);
    if (written !== null) {
      if (written.isReduced) losses.push(unmet(`${tool.path}.${tool.type}`, "tool"));
      return [written.tool];
    }
    const why = `Gemini has no tool of the type \`${tool.type.slice(0, 64)}\`.`;
    // Google's own are recognised by their one member; those with a type are another provider's.
    const isElsewhere = tool.source["type"] === tool.type && isProviderRun(tool);
    losses.push(isElsewhere ? unmet(tool.path, "tool", why) : changesMeaning(tool.path, "tool", why));
    return [];
  });
}

interface Offer {
  readonly offered: readonly ClientTool[];
  readonly lookup: Lookup;
  readonly own: readonly ProviderTool[];
  readonly hasNative: boolean;
}

/** Which of the choices cannot be made here. */
function noteChoice(choice: ToolChoice | undefined, path: string, offer: Offer, losses: Loss[]): void {
  const { offered, lookup, own, hasNative } = offer;
  const forced = changesMeaning(path, "tool_choice", "Gemini cannot be forced to use a tool that a provider runs.");
  switch (choice?.kind) {
    case "provider":
      losses.push(forced);
      return;
    case "required":
      if (offered.length === 0 && own.length > 0) losses.push(hasNative ? unmet(path, "tool_choice") : forced);
      return;
    case "tool": {
      if (!lookup.has(choice.name) && own.some(({ name, type }) => name === choice.name || type === choice.name))
        losses.push(forced);
      return;
    }
    case "allowed":
    case "auto":
    case "none":
    case undefined:
      return;
  }
}

/** `sent` gives the name under which the client's tool was sent. */
function callingConfig(
  choice: ToolChoice | undefined,
  offered: readonly ClientTool[],
  sent: (name: string) => string,
): Json | null {
  switch (choice?.kind) {
    case "none":
      return { mode: "NONE" };
    case "required":
      return { mode: "ANY" };
    case "tool":
      return { mode: "ANY", allowedFunctionNames: [sent(choice.name)] };
    case "allowed":
      if (choice.mode === "required") return { mode: "ANY", allowedFunctionNames: choice.names.map(sent) };
  }
  // VALIDATED is AUTO with calls that are held to their schema: what `strict` asks for.
  if (offered.some((tool) => tool.kind === "function" && tool.strict)) return { mode: "VALIDATED" };
  return choice === undefined ? null : { mode: "AUTO" };
}
