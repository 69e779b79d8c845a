/**
 * A wire of the core behind the adapter that the request path knows: a target of that wire is asked in what is written
 * from the client's conversation, and its answers are read to the core, which every door writes in its own wire.
 */
import type { Controls, Conversation } from "../conversation/conversation.ts";
import { firstSerious, firstUnserved, type Loss } from "../conversation/loss.ts";
import type { Json } from "../conversation/part.ts";
import type {
  AdapterCall,
  AnswerContext as CallContext,
  Refusal,
  Translation,
  UpstreamRequest,
} from "../providers/adapter.ts";
import { type Asked, foreignConversation } from "./asked.ts";
import { effectiveFields } from "./openai-chat/chat-wire.ts";
import { readControls, readRequest } from "./openai-chat/read-request.ts";
import { UntranslatableRequest } from "./untranslatable.ts";
import type { AnswerContext, UpstreamWire, WrittenRequest } from "./wire.ts";

export { UntranslatableRequest };

export interface Bridge {
  readonly translation: Translation;
  readonly toUpstream: (call: AdapterCall) => UpstreamRequest | Promise<UpstreamRequest>;
  /** For the plan: the first thing this target cannot serve the request with. */
  readonly lacks: (asked: Asked, model?: string) => string | null;
  /** For a target that is the only one: the first content that it cannot be sent. */
  readonly refuses: (asked: Asked, model: string) => Refusal | null;
}

/** `send` makes the HTTP request of what was written: address, headers, signature. */
export function bridged(
  wire: UpstreamWire,
  provider: string,
  send: (written: WrittenRequest, call: AdapterCall) => UpstreamRequest | Promise<UpstreamRequest>,
): Bridge {
  const known = new WeakMap<Asked["conversation"], Map<string, readonly Loss[]>>();
  const lossesOf = ({ conversation }: Asked, model: string): readonly Loss[] => {
    const byModel = known.get(conversation) ?? new Map<string, readonly Loss[]>();
    known.set(conversation, byModel);
    const target = { provider, model, maxOutputTokens: undefined };
    const losses = byModel.get(model) ?? wire.writeRequest(conversation(), target).losses;
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
      const filled = withParams(call, without);
      const conversation: Conversation = {
        ...(without.includes("strict") ? loose(filled) : filled),
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
    lacks: (asked, model = "") => firstUnserved(lossesOf(asked, model))?.path ?? null,
    refuses(asked, model) {
      const serious = firstSerious(lossesOf(asked, model));
      if (serious === undefined) return null;
      const { path, why = `\`${path}\` cannot be sent to this target.` } = serious;
      return { param: path, message: why };
    },
  };
}

/** The conversation with what the policy's `params` fill in, less what a refusal named. */
function withParams({ asked, params }: AdapterCall, without: readonly string[]): Conversation {
  if (Object.keys(params).length === 0 && without.length === 0) return asked.conversation();
  const own = foreignConversation(asked);
  if (own === null) return readRequest(withoutMembers(effectiveFields(asked.fields, params), without));
  const given = Object.entries(own.controls).filter(([name, value]) => {
    return value !== undefined && !without.includes(own.spelling[name as keyof typeof own.spelling] ?? name);
  });
  return { ...own, controls: { ...readControls(params), ...Object.fromEntries(given) } };
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
function named(request: UpstreamRequest, { without = [], asked }: AdapterCall): UpstreamRequest {
  const names = without.filter((name) => name === "strict" || (!KEPT.has(name) && Object.hasOwn(asked.fields, name)));
  return { ...request, droppedParams: [...new Set([...request.droppedParams, ...names.map(printable)])] };
}

/** Names of chat's members, as the client spelled what they are for. */
export function inClientSpelling(names: readonly string[], asked: Asked): readonly string[] {
  const conversation = foreignConversation(asked);
  if (conversation === null) return names;
  const { spelling, controls, tools } = conversation;
  const offered = tools.filter(({ kind }) => kind !== "provider");
  return names.map((name) => {
    if (name === "reasoning_effort") return controls.reasoning?.path ?? name;
    const [, at, rest = ""] = /^tools\[(\d{1,6})\](.*)$/.exec(name) ?? [];
    if (at !== undefined) return `${offered[Number(at)]?.path ?? `tools[${at}]`}${rest}`;
    return spelling[name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) as keyof Controls] ?? name;
  });
}

const MAX_NAMED = 32;

/**
 * The names for `x-flowlayer-dropped-params`, in the order of the client's members: only members that the client itself
 * sent are named.
 */
export function droppedParams(losses: readonly Loss[], { fields, clientFields = fields }: Asked): readonly string[] {
  const order = new Map(Object.keys(clientFields).map((name, at) => [name, at]));
  const placeOf = (path: string): number => order.get(firstOf(path)) ?? order.size;
  const sent = losses.map(({ path }) => path).filter((path) => order.has(firstOf(path)) || path.includes("."));
  sent.sort((a, b) => placeOf(a) - placeOf(b));
  return namesOf(sent);
}

/** As the header may hold them. */
export function namesOf(paths: readonly string[]): readonly string[] {
  return [...new Set(paths.map(printable))].slice(0, MAX_NAMED);
}

function firstOf(path: string): string {
  const [first = path] = path.split(/[.[]/, 1);
  return first;
}

/** The names end in a header, and unknown members may have any name. */
function printable(name: string): string {
  return /^[\w.[\]-]{1,96}$/.test(name) ? name : "other";
}

function toContext(provider: string, { asked, model, traceId, createdAt }: CallContext): AnswerContext {
  return { provider, model, traceId, createdAt, conversation: asked.conversation() };
}
