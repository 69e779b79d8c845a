/**
 * What a conversation can cost besides its text: of one that came by another door than chat, for targets whose body is
 * written from it. The chat request that says the same leaves out what chat has no word for, so it bounds nothing here.
 */
import { utf8Length } from "../lib/text/utf8-length.ts";
import type { Conversation } from "./conversation.ts";
import type { ContentDemand, MediaPart, Medium, ToolDemand } from "./demand.ts";
import { addressed, declaresProviderTools, hasReference, inline, mediumOf, providerTool } from "./demand-parts.ts";
import { type Media, type Part, unreachable } from "./part.ts";

export interface ConversationDemand {
  readonly content: ContentDemand;
  readonly tools: ToolDemand;
  /** Size of all that is in it, base64 left out. No wire writes more text of it than that. */
  readonly textBytes: number;
}

export function readDemand(conversation: Conversation): ConversationDemand {
  const reader = new PartReader();
  for (const { parts } of conversation.turns) reader.all(parts);
  const { media, messages, unknownPart } = reader;
  const base64Length = media.reduce((sum, part) => sum + part.base64Length, 0);
  const { tools } = conversation;
  const provider = tools.flatMap((tool) => (tool.kind === "provider" ? [providerTool(tool.source, tool.path)] : []));
  return {
    content: {
      messages: conversation.turns.length + messages,
      media,
      base64Length,
      unknownPart,
      unknownMember: null,
    },
    tools: { hasTools: tools.length > 0, provider, unknown: null },
    textBytes: utf8Length(JSON.stringify(conversation)) - base64Length,
  };
}

/** Blocks of Anthropic's that are text: results of a client's own search, names of tools. */
const TEXT_BLOCKS: ReadonlySet<string> = new Set(["search_result", "tool_reference"]);

/** Reads to the end, whatever it finds: the media behind something unknown count too. */
class PartReader {
  readonly media: MediaPart[] = [];
  /** Results that may become messages of their own. */
  messages = 0;
  unknownPart: string | null = null;

  all(parts: readonly Part[]): void {
    for (const part of parts) this.#part(part);
  }

  #part(part: Part): void {
    const { path } = part;
    switch (part.kind) {
      case "text":
        if (hasReference(part.citations)) this.unknownPart ??= path;
        return;
      case "refusal":
      case "call":
      case "reasoning":
        return;
      case "result":
        this.messages++;
        this.all(part.parts);
        return;
      case "image":
      case "audio":
      case "video":
      case "file":
        this.#medium(part.media, part.kind, path);
        return;
      case "block":
        if (hasReference(part.bound.data) || declaresProviderTools(part.bound.data ?? {})) this.unknownPart ??= path;
        return;
      case "opaque":
        if (!TEXT_BLOCKS.has(part.type) || hasReference(part.source)) this.unknownPart ??= path;
        return;
      default:
        unreachable(part);
    }
  }

  #medium(media: Media, medium: Medium, path: string): void {
    switch (media.kind) {
      case "text":
        return;
      case "base64": {
        const declared = medium === "image" ? mediumOf(media.mediaType) : medium;
        this.media.push(inline(media.data, 0, declared, path));
        return;
      }
      case "url":
        this.media.push(addressed(media.url, medium, path));
        return;
      case "id":
        this.media.push({ medium: medium === "image" ? "file" : medium, path, base64Length: 0 });
        return;
      default:
        unreachable(media);
    }
  }
}
