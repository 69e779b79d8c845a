/**
 * Tool names for providers that allow only some: an alias on the way out, the client's own name on the way back.
 *
 * Pure: the same conversation gives the same aliases, so the reader of the answer finds them again from the request
 * alone, and a provider's prompt cache sees the same tools. MCP servers name tools `calendar.list/events`.
 */
import type { Conversation, Tool } from "../conversation/conversation.ts";

/** A name as the client knows it. */
export interface ToolName {
  readonly name: string;
  readonly namespace?: string | undefined;
}

export class ToolNames {
  readonly #sent = new Map<string, string>();
  readonly #own = new Map<string, ToolName>();
  readonly #maxLength: number;
  readonly #refused: RegExp;

  /**
   * At most `maxLength` characters. `reserved`: names that a wire uses for tools of its own. `refused`, global: characters
   * that no name may have.
   */
  constructor(
    conversation: Conversation,
    maxLength: number,
    reserved: readonly string[] = [],
    refused: RegExp = /[^\w-]/g,
  ) {
    this.#maxLength = maxLength;
    this.#refused = refused;
    const names = namesIn(conversation);
    const taken = new Set(reserved);
    const misfits: string[] = [];
    for (const [full, own] of names) {
      if (taken.has(full) || !this.#fits(full)) misfits.push(full);
      else {
        taken.add(full);
        this.#add(full, full, own);
      }
    }
    /** How often a base was used: the next alias is found without trying those before it. */
    const copies = new Map<string, number>();
    for (const full of misfits) {
      const base = this.#fitting(full);
      let copy = copies.get(base) ?? 1;
      let alias = base;
      while (taken.has(alias)) {
        const suffix = `_${++copy}`;
        alias = base.slice(0, maxLength - suffix.length) + suffix;
      }
      copies.set(base, copy);
      taken.add(alias);
      this.#add(full, alias, names.get(full) ?? { name: full });
    }
  }

  /** The name to send. */
  sent(tool: ToolName): string {
    const full = fullName(tool);
    return this.#sent.get(full) ?? this.#fitting(full);
  }

  /** The client's name for one that came back; one that was not sent stays as it is. */
  own(sent: string): ToolName {
    return this.#own.get(sent) ?? { name: sent };
  }

  #add(full: string, alias: string, own: ToolName): void {
    this.#sent.set(full, alias);
    this.#own.set(alias, own);
  }

  #fits(full: string): boolean {
    return full !== "" && full.length <= this.#maxLength && full.search(this.#refused) === -1;
  }

  #fitting(full: string): string {
    return full.slice(0, this.#maxLength).replace(this.#refused, "_") || "tool";
  }
}

function fullName({ name, namespace }: ToolName): string {
  return namespace === undefined ? name : `${namespace}__${name}`;
}

/** Every name that the request may mention, tools first, by full name. */
function namesIn({ tools, turns }: Conversation): ReadonlyMap<string, ToolName> {
  const names = new Map<string, ToolName>();
  const add = ({ name, namespace }: ToolName): void => {
    const own = namespace === undefined ? { name } : { name, namespace };
    const full = fullName(own);
    if (!names.has(full)) names.set(full, own);
  };
  for (const tool of tools) if (isNamed(tool)) add(tool);
  for (const { parts } of turns) for (const part of parts) if (part.kind === "call") add(part);
  return names;
}

function isNamed(tool: Tool): tool is Exclude<Tool, { kind: "provider" }> {
  return tool.kind !== "provider";
}
