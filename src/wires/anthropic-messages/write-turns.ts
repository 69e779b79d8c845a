/**
 * A conversation as Claude takes it: system blocks ahead, then turns of user and assistant.
 *
 * Pure. Neighbours of one role become one turn, and tool results stand first in the user turn that follows their calls,
 * because the provider refuses anything else. System messages inside the conversation keep their place: as
 * `role: "system"` behind the user turn on models that have it, as marked text in the user turn on the others. Moving
 * them to the front would apply them to turns they were not meant for. Parts of an assistant's turn stay in their order.
 */
import type { Turn } from "../../conversation/conversation.ts";
import { harmless } from "../../conversation/loss.ts";
import { type Json, unreachable } from "../../conversation/part.ts";
import { isProviderBlock } from "./provider-blocks.ts";
import type { BlockWriter } from "./write-blocks.ts";

export interface WrittenTurns {
  readonly system: readonly Json[];
  readonly messages: readonly Json[];
}

/** How the conversation has to end. */
export interface Ending {
  /** The model goes on with what the assistant said last. */
  readonly mayPrefill: boolean;
  /** Said by the system at the end. */
  readonly note: string | null;
}

interface WrittenTurn {
  readonly role: "user" | "assistant";
  /** Tool results: before everything else. */
  readonly results: Json[];
  readonly blocks: Json[];
  /** System text said during this turn. */
  readonly notes: Json[];
}

/** A conversation must begin with the user and must not be empty; this says nothing. */
const FILLER: Json = { type: "text", text: "." };
/** Closes a conversation that ends with the assistant, which newer models refuse. */
const GO_ON: Json = { type: "text", text: "Go on from exactly where you stopped." };

export class TurnWriter {
  readonly #blocks: BlockWriter;
  readonly #systemTurns: boolean;
  readonly #system: Json[] = [];
  readonly #turns: WrittenTurn[] = [];

  constructor(blocks: BlockWriter, systemTurns: boolean) {
    this.#blocks = blocks;
    this.#systemTurns = systemTurns;
  }

  add(turn: Turn): void {
    if (turn.name !== undefined && turn.role !== "tool") this.#blocks.losses.push(harmless(`${turn.path}.name`));
    switch (turn.role) {
      case "system":
      case "developer":
        this.#addSystem(this.#blocks.write(turn.parts, "system"));
        return;
      case "assistant": {
        const blocks = this.#blocks.write(turn.parts, "assistant");
        if (blocks.length > 0) append(this.#turn("assistant").blocks, blocks);
        return;
      }
      case "user":
      case "tool": {
        const blocks = this.#blocks.write(turn.parts, "user");
        if (blocks.length === 0) return;
        const last = this.#turn("user");
        for (const block of blocks) (block["type"] === "tool_result" ? last.results : last.blocks).push(block);
        return;
      }
      default:
        unreachable(turn.role);
    }
  }

  #addSystem(blocks: readonly Json[]): void {
    if (this.#turns.length === 0) append(this.#system, blocks);
    else if (blocks.length > 0 && this.#systemTurns) append(this.#turn("user").notes, blocks);
    else if (blocks.length > 0) append(this.#turn("user").blocks, blocks.map(asReminder));
  }

  #turn(role: WrittenTurn["role"]): WrittenTurn {
    if (role === "user") this.#endAssistant();
    const last = this.#turns.at(-1);
    if (last?.role === role) return last;
    const turn: WrittenTurn = { role, results: [], blocks: [], notes: [] };
    if (role === "user") append(turn.blocks, this.#blocks.takeDeferred());
    this.#turns.push(turn);
    return turn;
  }

  /** A turn may not end in thinking, and thinking alone says nothing to go on from. */
  #endAssistant(): void {
    const last = this.#turns.at(-1);
    if (last?.role !== "assistant") return;
    while (isThinking(last.blocks.at(-1))) {
      last.blocks.pop();
      this.#blocks.losses.push(harmless("messages.thinking", "bound"));
    }
    if (last.blocks.length === 0) this.#turns.pop();
  }

  /** The last assistant turn calls tools and does not begin with thinking: another provider's, or an older one. */
  get isBareLoop(): boolean {
    const last = this.#turns.at(-1);
    if (last === undefined || last.results.length === 0) return false;
    const assistant = this.#turns.findLast(({ role }) => role === "assistant");
    return assistant !== undefined && !isThinking(assistant.blocks[0]);
  }

  finish({ mayPrefill, note }: Ending): WrittenTurns {
    // Nothing but system messages: they are what the client wants answered.
    if (this.#turns.length === 0) append(this.#turn("user").blocks, this.#system.splice(0));
    this.#endAssistant();
    if (this.#turns[0]?.role === "assistant") {
      this.#turns.unshift({ role: "user", results: [], blocks: [FILLER], notes: [] });
    }
    const deferred = this.#blocks.takeDeferred();
    if (deferred.length > 0) append(this.#turn("user").blocks, deferred);
    const last = this.#turns.at(-1);
    // A turn that the provider paused in its own tools goes on by itself.
    const isPaused = isProviderBlock(last?.blocks.at(-1)?.["type"]);
    if (last?.role === "assistant" && !isPaused && (!mayPrefill || note !== null))
      this.#turn("user").blocks.push(GO_ON);
    if (note !== null) this.#addSystem([{ type: "text", text: note }]);
    const messages = this.#turns.flatMap(toMessages);
    if (messages.length === 0) messages.push({ role: "user", content: [FILLER] });
    return { system: this.#system, messages: withTrimmedEnd(messages) };
  }
}

/** Not by spreading: a client may send more parts than a call takes arguments. */
function append(list: Json[], more: readonly Json[]): void {
  for (const each of more) list.push(each);
}

function isThinking(block: Json | undefined): boolean {
  return block?.["type"] === "thinking" || block?.["type"] === "redacted_thinking";
}

function toMessages({ role, results, blocks, notes }: WrittenTurn): Json[] {
  const content = [...results, ...blocks];
  // A system turn must follow a user turn: between two assistant turns it has to be one.
  if (content.length === 0) return notes.length === 0 ? [] : [{ role, content: notes.map(asReminder) }];
  return notes.length === 0
    ? [{ role, content }]
    : [
        { role, content },
        { role: "system", content: notes },
      ];
}

function asReminder(block: Json): Json {
  return { ...block, text: `<system-reminder>\n${String(block["text"])}\n</system-reminder>` };
}

/** The provider refuses a conversation whose last assistant text ends in white space. */
function withTrimmedEnd(messages: Json[]): Json[] {
  const last = messages.at(-1);
  const blocks = last?.["content"];
  if (last?.["role"] !== "assistant" || !Array.isArray(blocks)) return messages;
  const block = blocks.at(-1) as Json | undefined;
  if (typeof block?.["text"] !== "string") return messages;
  const content = [...blocks.slice(0, -1), { ...block, text: block["text"].trimEnd() }];
  return [...messages.slice(0, -1), { ...last, content }];
}
