/**
 * What the prompt of an attempt can cost, read from what the body for its target is made of.
 *
 * A target that speaks chat gets the chat request with all its members. For every other one the body is written from the
 * client's own conversation, and of that the chat request only says what chat has words for.
 */
import type { ContentDemand } from "../../conversation/demand.ts";
import { type ConversationDemand, readDemand } from "../../conversation/read-demand.ts";
import { utf8Length } from "../../lib/text/utf8-length.ts";
import { unknownMember, unknownOther } from "../../pricing/free-members.ts";
import { type Asked, foreignConversation } from "../../wires/asked.ts";
import { readToolDemand } from "../../wires/openai-chat/read-demand.ts";
import type { ChatRequest, OwnBody } from "../../wires/openai-chat/request-fields.ts";
import type { Candidate } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

export interface PromptDemand extends ConversationDemand {
  /** The members that are asked for, the policy's `params` included. */
  readonly asked: Json;
  /** The first part, tool or member whose cost is unknown, by its path; `null`: all of it is known. */
  readonly unknown: string | null;
}

export class PromptReader {
  readonly #request: ChatRequest;
  readonly #content: ContentDemand;
  #textBytes: number | undefined;
  #ownBytes: number | undefined;
  #own: OwnDemand | null | undefined;

  constructor(request: ChatRequest, content: ContentDemand) {
    this.#request = request;
    this.#content = content;
  }

  /** Measures a long conversation once, and only where it has to. */
  demandOf(candidate: Candidate): PromptDemand {
    const { fields } = this.#request;
    const { target, facts } = candidate;
    const { params, provider } = target;
    const isSame = isSameWire(candidate);
    const own = isSame ? null : this.#ownDemand();
    // The client's own body reaches the provider, with every member of it.
    const sent = candidate.lane === "translated" ? undefined : this.#request.own;
    const asked = { ...params, ...fields, ...own?.members };
    const demand = own ?? this.#chatDemand(asked);
    const { content, tools } = demand;
    const member = unknownMember(asked, provider, facts.price, isSame);
    const isPolicys = member !== null && Object.hasOwn(params, member) && !Object.hasOwn(fields, member);
    const ofMember = isPolicys ? `params.${member}` : member;
    // Unread members of messages reach providers of this wire only.
    const ofMessage = isSame ? content.unknownMember : null;
    const known = content.unknownPart ?? ofMessage ?? tools.unknown ?? own?.unknownMember;
    const unknown = known ?? sent?.unreadInContent() ?? ofMember;
    const bytes = sent === undefined ? demand.textBytes : this.#sentBytes(sent, demand);
    const textBytes = bytes + utf8Length(JSON.stringify(params));
    return { content, tools, asked, unknown, textBytes };
  }

  #sentBytes({ text }: OwnBody, { content }: ConversationDemand): number {
    this.#ownBytes ??= utf8Length(text);
    return this.#ownBytes - content.base64Length;
  }

  /** `null` for a request that came in chat. */
  #ownDemand(): OwnDemand | null {
    if (this.#own === undefined) this.#own = ownDemand(this.#request);
    return this.#own;
  }

  #chatDemand(asked: Json): ConversationDemand {
    const { text } = this.#request;
    const content = this.#content;
    this.#textBytes ??= utf8Length(text) - content.base64Length;
    return { content, tools: readToolDemand(asked), textBytes: this.#textBytes };
  }
}

interface OwnDemand extends ConversationDemand {
  /** Top-level members that chat has no place for. */
  readonly members: Json;
  readonly unknownMember: string | null;
}

function ownDemand(asked: Asked): OwnDemand | null {
  const conversation = foreignConversation(asked);
  if (conversation === null) return null;
  const { others } = conversation;
  const members = others.flatMap(({ name, path, source }) => (name === path ? [[name, source] as const] : []));
  return {
    ...readDemand(conversation),
    members: Object.fromEntries(members),
    unknownMember: unknownOther(others),
  };
}

/** The body reaches the provider as it came. A provider whose streams are translated speaks another wire. */
function isSameWire({ provider }: Candidate): boolean {
  return provider.adapter.sameWire === "openai-chat";
}
