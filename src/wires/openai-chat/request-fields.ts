/**
 * The chat-completions request as the router reads it.
 *
 * Loose on purpose: only fields the router itself acts on are checked. Everything else is the provider's to judge and
 * is forwarded as it came.
 */
import * as z from "zod/mini";
import type { Loss } from "../../conversation/loss.ts";
import { MAX_DEPTH } from "../../http/body.ts";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField, notParsed } from "../../http/validation-errors.ts";
import {
  hasMoreValues,
  isJsonObject,
  JsonEdit,
  type JsonMember,
  mayRound,
  parseExactJson,
  parseJson,
  scanJson,
} from "../../lib/json.ts";
import { confusedKey, type KeyLevel, keyLevel } from "../../lib/json-keys.ts";
import { editElements } from "../../lib/json-spans.ts";
import { listsUpToFault, shortLists } from "../../lib/long-lists.ts";
import { type Asked, askedInChat } from "../asked.ts";

/** Members of all objects together. A conversation of 10,000 messages has 20,000. */
export const MAX_MEMBERS = 100_000;
/** Elements and members of a long body together. Each may take many times its text in memory. */
export const MAX_VALUES = 500_000;
/** What a shorter body holds has room in memory, whatever it is. */
const LONG_BODY_LENGTH = 1_048_576;
/** One key. Tool schemas have property names, not documents, for keys. */
const MAX_KEY_LENGTH = 65_536;

const positiveInteger = z.int("must be a positive integer").check(z.minimum(1, "must be a positive integer"));
const providerIds = z.array(z.string().check(z.minLength(1), z.maxLength(64))).check(z.maxLength(64));

/** Flow's own controls, the body member `route`. Never reaches a provider. */
export const RouteControls = z.strictObject({
  fallback: z.optional(z.boolean()),
  latency_budget_ms: z.optional(z.int().check(z.minimum(1), z.maximum(600_000))),
  spend_budget_usd: z.optional(z.number().check(z.positive())),
  require_tool_approval: z.optional(z.boolean()),
  report: z.optional(z.boolean()),
  only: z.optional(providerIds),
  avoid: z.optional(providerIds),
  resume: z.optional(z.string().check(z.regex(/^tr_[0-9A-Za-z]{32}$/, "must be a trace id"))),
  tags: z.optional(
    z
      .record(z.string().check(z.minLength(1), z.maxLength(64)), z.string().check(z.maxLength(256)))
      .check(z.refine((tags) => Object.keys(tags).length <= 16, "must have at most 16 pairs")),
  ),
});
export type RouteControls = z.infer<typeof RouteControls>;

const Message = z.looseObject({ role: z.string("must be a string") }, "must be an object");
const Named = z.optional(z.looseObject({ name: z.optional(z.string()) }));
const Tool = z.looseObject({ function: Named, custom: Named });

/** The members of a chat request that the router reads. */
export const ChatFields = z.looseObject({
  model: z.string('must be a string such as "flow/best-reasoning"'),
  messages: z.array(Message, "must be an array of messages").check(z.minLength(1, "must not be empty")),
  stream: z.optional(z.boolean("must be true or false")),
  stream_options: z.optional(z.looseObject({ include_usage: z.optional(z.boolean("must be true or false")) })),
  max_tokens: z.optional(positiveInteger),
  max_completion_tokens: z.optional(positiveInteger),
  n: z.optional(positiveInteger),
  tools: z.optional(
    z.array(Tool, "must be an array").check(z.refine(hasUniqueNames, "must not name the same function twice")),
  ),
  route: z.optional(RouteControls),
});

const isMessage = (value: unknown): boolean => isJsonObject(value) && typeof value["role"] === "string";
const isTool = (value: unknown): boolean => Tool.safeParse(value).success;

function hasUniqueNames(tools: readonly z.infer<typeof Tool>[]): boolean {
  const names = tools.flatMap((tool) => tool.function?.name ?? tool.custom?.name ?? []);
  return new Set(names).size === names.length;
}

const CALLED = keyLevel(["name", "arguments", "input"]);
const URL_OBJECT = keyLevel(["url"]);
const PART = keyLevel(
  [...["type", "text", "refusal", "content", "output", "tool_call_id", "tool_use_id", "call_id", "id", "name"]],
  {
    image_url: URL_OBJECT,
    video_url: URL_OBJECT,
    audio_url: URL_OBJECT,
    input_audio: keyLevel(["data", "format"]),
    file: keyLevel(["file_id", "file_data", "filename"]),
  },
);
const MESSAGE = keyLevel(
  ["role", "name", "tool_call_id"],
  {
    content: PART,
    tool_calls: keyLevel(["id", "type"], { function: CALLED, custom: CALLED }),
    function_call: CALLED,
  },
  true,
);
/** Members of every door's body that choose a price, or tools that nothing else of the request names. */
export const PRICED_KEYS: readonly string[] = [
  ...["service_tier", "speed", "inference_geo", "modalities", "functions", "function_call", "tool_choice"],
  ...["web_search_options", "web_search", "plugins", "search_parameters", "enable_search", "search_options"],
];
/** What another reader must not understand differently: it chooses the model, the bound, the gate and the route. */
const REQUEST_KEYS = keyLevel([...Object.keys(ChatFields.shape), ...PRICED_KEYS], {
  route: keyLevel(Object.keys(RouteControls.shape)),
  stream_options: keyLevel(["include_usage"]),
  messages: MESSAGE,
  tools: keyLevel(["type", "name"], { function: keyLevel(["name"]), custom: keyLevel(["name"]) }),
});

export interface ChatRequest extends Asked {
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage event of a stream. */
  readonly includeUsage: boolean;
  readonly controls: RouteControls;
  /** The client's own text and where its members stand. */
  readonly text: string;
  readonly members: readonly JsonMember[];
  /** The body in the wire in which it came, where that is not chat: what a provider of that wire gets. */
  readonly own?: OwnBody;
  /** What is asked of that wire's API besides an answer, by the last part of its path. */
  readonly action?: string;
  /** Members of another wire's request that cannot be expressed to a target that speaks chat. */
  readonly chatLosses?: readonly Loss[];
  /** Paths of members that were left out because they are not read here. */
  readonly leftOut?: readonly string[];
}

/** A body in the wire of its door. */
export interface OwnBody extends Document {
  /** The first member of its content, by its path, that is not read here; `null`: all of it is. */
  readonly unreadInContent: () => string | null;
  /** The same members, each once and without its place: no translation of the body has them. */
  readonly untranslated: () => readonly string[];
}

/** Checks a request body. Throws `invalid_json` or `invalid_request` that names the field and the remedy. */
export function parseChatRequest(body: string): ChatRequest {
  const document = readDocument(body);
  const { text, fields, members } = withoutAbsent(document);
  const route = isJsonObject(fields["route"]) ? { route: controlsOf(fields["route"]) } : {};
  const cut = { ...shortLists(fields, { messages: isMessage }), ...listsUpToFault(fields, { tools: isTool }) };
  const parsed = ChatFields.safeParse({ ...fields, ...route, ...cut }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  const { model, stream, stream_options, route: controls } = parsed.data;
  return {
    model,
    stream: stream ?? false,
    includeUsage: stream_options?.include_usage ?? false,
    controls: controls ?? {},
    text,
    members,
    ...askedInChat(fields),
  };
}

/** A body: its text, where its members stand, and the same parsed, where numbers may have lost precision. */
export type Document = Pick<ChatRequest, "text" | "fields" | "members">;

/**
 * The body as JSON within its limits. No key that is read may be understood in two ways. `members`: what it must have, in
 * words.
 */
export function readDocument(
  text: string,
  keys: KeyLevel = REQUEST_KEYS,
  members = "`model` and `messages`",
): Document {
  if (text.length > LONG_BODY_LENGTH && hasMoreValues(text, MAX_VALUES)) {
    throw new RouterError("invalid_request", `The request body has more than ${MAX_VALUES} values.`);
  }
  let fields: unknown;
  try {
    fields = parseJson(text);
  } catch (error) {
    throw notParsed(error);
  }
  if (!isJsonObject(fields)) {
    throw new RouterError("invalid_request", `The request body must be a JSON object with ${members}.`);
  }
  const shape = scanJson(text);
  refuseShape(shape);
  const confused = confusedKey(text, fields, shape, keys);
  if (confused !== null) throw confusingKey(confused.path, confused.kind);
  return { text, fields: withExactNumbers(fields, text, shape.members), members: shape.members };
}

/** Members of any door's request whose numbers go on as they were spelled: those with schemas, and a seed. */
const EXACT: ReadonlySet<string> = new Set(["tools", "functions", "response_format", "output_config", "text", "seed"]);

function withExactNumbers(
  fields: Readonly<Record<string, unknown>>,
  text: string,
  members: Document["members"],
): Document["fields"] {
  const exact = members.flatMap(({ key, valueStart, valueEnd }) => {
    const raw = EXACT.has(key) ? text.slice(valueStart, valueEnd) : "";
    return mayRound(raw) ? [[key, parseExactJson(raw)] as const] : [];
  });
  return exact.length === 0 ? fields : { ...fields, ...Object.fromEntries(exact) };
}

function confusingKey(path: string, kind: "duplicate" | "case"): RouterError {
  const param = path.length > 200 ? `${path.slice(0, 200)}…` : path;
  const message =
    kind === "duplicate"
      ? `\`${param}\` is a duplicate key. Send it once.`
      : `\`${param}\` differs from a known field only in case. Use the documented spelling.`;
  return new RouterError("invalid_request", message, { param });
}

/**
 * The request without what asks for nothing: a `null` of a member that is read (SDKs send one for every option that was
 * not set) and an empty list of tools with its `tool_choice`. Providers refuse both where the router would not.
 */
function withoutAbsent(document: Document): Document {
  const { fields, text, members } = document;
  const edit = new JsonEdit(text, members);
  let isEdited = false;
  const remove = (name: string): void => {
    edit.remove(name);
    isEdited = true;
  };
  for (const name of Object.keys(ChatFields.shape)) if (fields[name] === null) remove(name);
  const { stream_options: options, tools } = fields;
  if (isJsonObject(options) && options["include_usage"] === null) {
    // Providers refuse the member, an empty one too, on requests that do not stream.
    if (Object.keys(options).length === 1) remove("stream_options");
    else {
      const own = new JsonEdit(edit.raw("stream_options") ?? "{}").remove("include_usage");
      edit.setRaw("stream_options", own.toString());
      isEdited = true;
    }
  }
  if (Array.isArray(tools)) {
    const raw = edit.raw("tools") ?? "[]";
    const named = tools.some(hasNulls) ? toolsWithoutNulls(raw, tools) : raw;
    if (named !== raw) {
      edit.setRaw("tools", named);
      isEdited = true;
    }
    if (tools.length === 0) {
      remove("tools");
      remove("tool_choice");
    }
  }
  if (!isEdited) return document;
  const edited = edit.toString();
  const value = parseJson(edited);
  const scanned = scanJson(edited).members;
  return {
    text: edited,
    fields: isJsonObject(value) ? withExactNumbers(value, edited, scanned) : {},
    members: scanned,
  };
}

const TOOL_KINDS = ["function", "custom"] as const;

function hasNulls(tool: unknown): boolean {
  if (!isJsonObject(tool)) return false;
  return TOOL_KINDS.some((kind) => {
    const value = tool[kind];
    return value === null || (isJsonObject(value) && value["name"] === null);
  });
}

/** The text of the list, with nothing changed but the tools that `hasNulls` finds. */
function toolsWithoutNulls(raw: string, tools: readonly unknown[]): string {
  return editElements(raw, (element, at) => {
    const tool = tools[at];
    if (!isJsonObject(tool) || !hasNulls(tool)) return undefined;
    const edit = new JsonEdit(element);
    for (const kind of TOOL_KINDS) {
      const value = tool[kind];
      if (value === null) edit.remove(kind);
      if (!isJsonObject(value) || value["name"] !== null) continue;
      edit.setRaw(kind, new JsonEdit(edit.raw(kind) ?? "{}").remove("name").toString());
    }
    return edit.toString();
  });
}

/** Members and tags that are `null` count as left out. `route` is never forwarded, so its text needs no edit. */
export function controlsOf(route: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { tags, ...controls } = route;
  const given = isJsonObject(tags) ? { tags: withoutNulls(tags) } : { tags };
  return withoutNulls({ ...controls, ...(tags === undefined ? {} : given) });
}

function withoutNulls(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null));
}

function refuseShape(shape: ReturnType<typeof scanJson>): void {
  if (shape.depth > MAX_DEPTH) {
    throw new RouterError("invalid_request", `The request body is nested deeper than ${MAX_DEPTH} levels.`);
  }
  if (shape.memberCount > MAX_MEMBERS) {
    throw new RouterError("invalid_request", `The request body has more than ${MAX_MEMBERS} object members.`);
  }
  if (shape.members.some(({ key }) => key.length > MAX_KEY_LENGTH)) {
    const message = `A key of the request body is longer than ${MAX_KEY_LENGTH} characters.`;
    throw new RouterError("invalid_request", message);
  }
}
