/**
 * A wire of the core behind the adapter that the request path knows.
 *
 * Requests are still known to the relay by their fields in chat, from which the conversation is read once. Answers are
 * read to the core, and every door writes them in its own wire.
 */
import type { Conversation } from "../conversation/conversation.ts";
import { firstSerious, firstUnserved, type Loss } from "../conversation/loss.ts";
import type { Json } from "../conversation/part.ts";
import type {
  AdapterCall,
  AnswerContext as CallContext,
  Refusal,
  Translation,
  UpstreamRequest,
} from "../providers/adapter.ts";
import { effectiveFields } from "./openai-chat/chat-wire.ts";
import { readControls, readRequest } from "./openai-chat/read-request.ts";
import { UntranslatableRequest } from "./untranslatable.ts";
import type { AnswerContext, UpstreamWire, WrittenRequest } from "./wire.ts";

export { UntranslatableRequest };

export interface Bridge {
  readonly translation: Translation;
  readonly toUpstream: (call: AdapterCall) => UpstreamRequest | Promise<UpstreamRequest>;
  /** For the plan: the first thing this target cannot serve the request with. */
  readonly lacks: (fields: Json, model?: string) => string | null;
  /** For a target that is the only one: the first content that it cannot be sent. */
  readonly refuses: (fields: Json, model: string) => Refusal | null;
}

/** `send` makes the HTTP request of what was written: address, headers, signature. */
export function bridged(
  wire: UpstreamWire,
  provider: string,
  send: (written: WrittenRequest, call: AdapterCall) => UpstreamRequest | Promise<UpstreamRequest>,
): Bridge {
  const known = new WeakMap<Json, Map<string, readonly Loss[]>>();
  const lossesOf = (fields: Json, model: string): readonly Loss[] => {
    const byModel = known.get(fields) ?? new Map<string, readonly Loss[]>();
    known.set(fields, byModel);
    const target = { provider, model, maxOutputTokens: undefined };
    const losses = byModel.get(model) ?? wire.writeRequest(conversationOf(fields), target).losses;
    byModel.set(model, losses);
    return losses;
  };
  return {
    translation: {
      readAnswer: (text, body, context) => wire.readAnswer(text, body, toContext(provider, context)),
      openReader: (context) => wire.openReader(toContext(provider, context)),
    },
    toUpstream(call) {
      const without = call.without ?? [];
      const asked = askedOf(call, without);
      const conversation: Conversation = {
        ...(without.includes("strict") ? loose(asked) : asked),
        stream: call.stream,
      };
      const { model, maxOutputTokens, config, params, openHeaders } = call;
      const target = { provider, model, maxOutputTokens, settings: config.settings, params, openHeaders, without };
      const written = wire.writeRequest(conversation, target);
      const serious = firstSerious(written.losses);
      if (serious !== undefined) throw new UntranslatableRequest(serious);
      const sent = send(written, call);
      return without.length === 0 ? sent : Promise.resolve(sent).then((request) => named(request, call));
    },
    lacks: (fields, model = "") => firstUnserved(lossesOf(fields, model))?.path ?? null,
    refuses(fields, model) {
      const serious = firstSerious(lossesOf(fields, model));
      if (serious === undefined) return null;
      const { path, why = `\`${path}\` cannot be sent to this target.` } = serious;
      return { param: path, message: why };
    },
  };
}

/** A long conversation is read once for a request, however many targets and answers ask for it. */
const conversations = new WeakMap<Json, Conversation>();

/** Fields of requests that came by another wire, with the client's own conversation. */
const foreign = new WeakMap<Json, { readonly clientFields: Json }>();

/**
 * `fields` say in chat what `conversation` says: a wire of another kind is written from the conversation itself, and the
 * client gets the names of members in its own spelling.
 */
export function noteConversation(fields: Json, conversation: Conversation, clientFields: Json): void {
  conversations.set(fields, conversation);
  foreign.set(fields, { clientFields });
}

/** The members of the request as the client spelled them. */
export function clientFieldsOf(fields: Json): Json {
  return foreign.get(fields)?.clientFields ?? fields;
}

/** The conversation with what the policy's `params` fill in, less what a refusal named. */
function askedOf(call: AdapterCall, without: readonly string[]): Conversation {
  if (Object.keys(call.params).length === 0 && without.length === 0) return conversationOf(call.fields);
  if (!foreign.has(call.fields)) return readRequest(withoutMembers(effectiveFields(call), without));
  const own = conversationOf(call.fields);
  const given = Object.entries(own.controls).filter(([name, value]) => {
    return value !== undefined && !without.includes(own.spelling[name as keyof typeof own.spelling] ?? name);
  });
  return { ...own, controls: { ...readControls(call.params), ...Object.fromEntries(given) } };
}

/** The client's own conversation of a request that came by another wire; `null` for one that came by chat. */
export function notedConversation(fields: Json): Conversation | null {
  return foreign.has(fields) ? conversationOf(fields) : null;
}

/** What `fields` ask for, as the client said it. */
export function conversationOf(fields: Json): Conversation {
  const conversation = conversations.get(fields) ?? readRequest(fields);
  conversations.set(fields, conversation);
  return conversation;
}

/** The provider's word for the token limit is its wire's own: that one stays. */
const KEPT: ReadonlySet<string> = new Set(["model", "messages", "stream", "max_tokens", "max_completion_tokens"]);

function withoutMembers(fields: Json, without: readonly string[]): Json {
  if (without.length === 0) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([name]) => KEPT.has(name) || !without.includes(name)));
}

/** Schemas that the model is not held to: the provider refused them. */
function loose(conversation: Conversation): Conversation {
  const { responseFormat: format } = conversation.controls;
  const isStrict = format?.kind === "json_schema";
  return {
    ...conversation,
    tools: conversation.tools.map((tool) => (tool.kind === "function" ? { ...tool, strict: false } : tool)),
    controls: isStrict
      ? { ...conversation.controls, responseFormat: { ...format, strict: false } }
      : conversation.controls,
  };
}

/** With what this attempt does without, as far as the client sent it. */
function named(request: UpstreamRequest, { without = [], fields }: AdapterCall): UpstreamRequest {
  const names = without.filter((name) => name === "strict" || (!KEPT.has(name) && Object.hasOwn(fields, name)));
  return { ...request, droppedParams: [...new Set([...request.droppedParams, ...names.map(printable)])] };
}

const MAX_NAMED = 32;

/**
 * The names for `x-flowlayer-dropped-params`, in the order of the client's members: only members that the client itself
 * sent are named.
 */
export function droppedParams(losses: readonly Loss[], fields: Json): readonly string[] {
  const order = new Map(Object.keys(clientFieldsOf(fields)).map((name, at) => [name, at]));
  const placeOf = (path: string): number => order.get(firstOf(path)) ?? order.size;
  const sent = losses.map(({ path }) => path).filter((path) => order.has(firstOf(path)) || path.includes("."));
  sent.sort((a, b) => placeOf(a) - placeOf(b));
  return [...new Set(sent.map(printable))].slice(0, MAX_NAMED);
}

function firstOf(path: string): string {
  const [first = path] = path.split(/[.[]/, 1);
  return first;
}

/** The names end in a header, and unknown members may have any name. */
function printable(name: string): string {
  return /^[\w.[\]-]{1,64}$/.test(name) ? name : "other";
}

function toContext(provider: string, { fields, model, traceId, createdAt }: CallContext): AnswerContext {
  return { provider, model, traceId, createdAt, conversation: conversationOf(fields) };
}
