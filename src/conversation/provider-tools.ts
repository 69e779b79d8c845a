/** Which tools a provider runs by itself: search, fetch, code, MCP. The client never sees a call of them to answer. */
import type { ProviderTool, Tool, ToolChoice } from "./conversation.ts";

/**
 * By type, without a version, in lower case and without underscores. An allow-list: a tool that is not here may be one
 * that the client runs, and a client that waits for its calls must not be answered without it.
 * OpenAI, Anthropic, Google, xAI, Mistral, Groq, Amazon, in this order.
 */
const PROVIDER_RUN: ReadonlySet<string> = new Set([
  ...["websearch", "websearchpreview", "filesearch", "codeinterpreter", "imagegeneration", "mcp", "toolsearch"],
  ...["webfetch", "codeexecution", "mcptoolset", "toolsearchtoolregex", "toolsearchtoolbm25"],
  ...["googlesearch", "googlesearchretrieval", "enterprisewebsearch", "urlcontext", "googlemaps"],
  ...["xsearch", "livesearch", "collectionssearch"],
  ...["websearchpremium", "documentlibrary"],
  ...["browsersearch", "visitwebsite"],
  ...["novagrounding", "novacodeinterpreter", "systemtool"],
]);

/** `_20250305`, `_2025_08_26`, `_2025-08-26`. */
const VERSION = /_\d{4}(?:\d{4}|[-_]\d{2}[-_]\d{2})$/;

/** Does a provider run `tool`, so that an answer without it is worse and not wrong? */
export function isProviderRun({ type }: Pick<ProviderTool, "type">): boolean {
  return PROVIDER_RUN.has(plainOf(type));
}

function plainOf(type: string): string {
  return type.replace(VERSION, "").replaceAll("_", "").toLowerCase();
}

/**
 * Does `choice` force the model to use `tool`, so that an answer without it would be another one? `isCallable`: which
 * others of `tools` the target can be offered; where one has to be called and none of them can be, `tool` is forced.
 */
export function isForced(
  tool: ProviderTool,
  choice: ToolChoice | undefined,
  tools: readonly Tool[],
  isCallable: (tool: Tool) => boolean = ({ kind }) => kind !== "provider",
): boolean {
  const isNamed = (name: unknown): boolean => name !== undefined && (name === tool.name || name === tool.type);
  switch (choice?.kind) {
    case "required":
      return !tools.some((each) => each !== tool && isCallable(each));
    case "tool":
      return isNamed(choice.name);
    case "allowed":
      return choice.mode === "required" && isNamed(choice.names[0]) && choice.names.length === 1;
    case "provider": {
      const { type, name } = choice.source;
      return isNamed(type) || isNamed(name);
    }
    default:
      return false;
  }
}

/** Names a tool of the request as a whole that is neither a function nor free text: one of a provider's. */
const PROVIDER_TOOL_PATH = /^(?:input\[\d+\]\.)?tools\[\d+\](?:\.(?!custom\b|strict\b)\w+)?$/;

/** Is a loss at `path` one of a tool that a provider runs? */
export function isProviderToolPath(path: string): boolean {
  return PROVIDER_TOOL_PATH.test(path);
}

/** Tools that a provider defines and the client runs: their calls come to the client like any other. */
const CLIENT_RUN: ReadonlySet<string> = new Set([
  ...["bash", "texteditor", "computer", "computerusepreview", "memory", "localshell", "applypatch"],
]);

/**
 * Do calls of `tool` come to the client? An allow-list too: whatever else a provider defines it may run by itself, and a
 * call that is never seen cannot be approved. A tool that is written under several names may be read under each.
 */
export function isClientRun({ type, source }: Pick<ProviderTool, "type" | "source">): boolean {
  if (type === "shell") return isLocalShell(source);
  return CLIENT_RUN.has(plainOf(type)) && !Object.keys(source).some((name) => PROVIDER_RUN.has(plainOf(name)));
}

/** OpenAI's shell runs at the client unless the request names a container. https://developers.openai.com/api/docs/guides/tools-shell */
function isLocalShell({ environment = null }: ProviderTool["source"]): boolean {
  if (environment === null) return true;
  return typeof environment === "object" && "type" in environment && environment.type === "local";
}
