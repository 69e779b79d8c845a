/**
 * Tools that a provider runs by itself. Their calls are never seen, so a gate lets them pass only where a policy names
 * them.
 */
import type { Conversation } from "../conversation/conversation.ts";
import type { Bound, Json } from "../conversation/part.ts";
import { isClientRun } from "../conversation/provider-tools.ts";
import { matchesGlob, type ToolRules } from "./match.ts";

/** Members of a body that make a provider search without a tool. */
const SEARCH_MEMBERS: ReadonlySet<string> = new Set([
  ...["web_search_options", "web_search", "plugins", "search_parameters", "enable_search", "search_options"],
]);
/** Only on their own wire do these words say what a block is. */
const NO_TOOL_WIRE: Bound["wire"] = "anthropic-messages";
/** Blocks that tell of no tool: what a provider made of a long conversation, files that the client uploaded. */
const NO_TOOL: ReadonlySet<unknown> = new Set(["compaction", "fallback", "container_upload"]);
/** `web_search_tool_result`, `web_search_call`: what is before it is the tool. */
const OUTCOME = /_(?:tool_result|call_output|call)$/;

export interface Ungateable {
  readonly path: string;
  /** What an approval glob would have to name. */
  readonly name: string;
}

/** The first thing of a request that runs, or has run, without anybody's approval; `null`: there is none. */
export function firstUngateable(conversation: Conversation, rules: ToolRules): Ungateable | null {
  for (const { path, names } of runByProvider(conversation)) {
    if (!isNamed(names, rules)) return { path, name: names[0] ?? "" };
  }
  return null;
}

function isNamed(names: readonly string[], { deny, auto_approve }: ToolRules): boolean {
  const matches = (globs: readonly string[]): boolean =>
    names.some((each) => globs.some((glob) => matchesGlob(each, glob)));
  return !matches(deny) && matches(auto_approve);
}

/** Which blocks of an answer may pass: those of tools that the policy names, and those that tell of no tool. */
export class BlockFilter {
  readonly #rules: ToolRules;
  readonly #names = new BlockNames();

  constructor(rules: ToolRules) {
    this.#rules = rules;
  }

  mayPass(bound: Bound): boolean {
    const names = this.#names.of(bound);
    return names === null || isNamed(names, this.#rules);
  }
}

/** What tool a block tells of. A result is that of the block whose id it gives. */
class BlockNames {
  readonly #byId = new Map<unknown, readonly string[]>();

  /** `null`: of none. */
  of({ wire, data = {} }: Bound): readonly string[] | null {
    if (wire === NO_TOOL_WIRE && NO_TOOL.has(data["type"])) return null;
    const names = this.#byId.get(data["tool_use_id"]) ?? namesOf(data);
    if (typeof data["id"] === "string") this.#byId.set(data["id"], names);
    return names;
  }
}

interface RunByProvider {
  readonly path: string;
  readonly names: readonly string[];
}

function* runByProvider({ tools, others, turns }: Conversation): Generator<RunByProvider> {
  for (const tool of tools) {
    if (tool.kind === "provider" && !isClientRun(tool)) yield { path: tool.path, names: filled(tool.type, tool.name) };
  }
  for (const { name, path, source } of others) {
    // An empty object of options asks for a search too.
    const isOff = source === null || source === false || (Array.isArray(source) && source.length === 0);
    if (SEARCH_MEMBERS.has(name) && path === name && !isOff) yield { path, names: [name] };
  }
  // Blocks of an earlier turn say what such a tool was asked and found: a client can write them as well.
  const blocks = new BlockNames();
  for (const { parts } of turns) {
    for (const part of parts) {
      const names = part.kind === "block" ? blocks.of(part.bound) : null;
      if (names !== null) yield { path: part.path, names };
    }
  }
}

function namesOf({ name, type }: Json): readonly string[] {
  return filled(name, typeof type === "string" ? type.replace(OUTCOME, "") : type);
}

function filled(...names: readonly unknown[]): string[] {
  return names.filter((name) => typeof name === "string" && name !== "") as string[];
}
