/**
 * The chat-completions request as the router reads it.
 *
 * Loose on purpose: only fields the router itself acts on are checked. Everything else is the vendor's to judge and
 * is forwarded as it came.
 */
import * as z from "zod/mini";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField, notJson } from "../../http/validation-errors.ts";
import {
  hasMoreValues,
  isJsonObject,
  type JsonMember,
  parseJson,
  scanArray,
  scanJson,
  tryParseJson,
} from "../../lib/json.ts";

/** Nesting beyond this is refused: no real request comes near, and deep values cannot cross to a Durable Object. */
export const MAX_DEPTH = 64;
/** Members of all objects together. A conversation of 10,000 messages has 20,000. */
export const MAX_MEMBERS = 100_000;
/** Elements and members of a long body together. Each may take many times its text in memory. */
export const MAX_VALUES = 500_000;
/** What a shorter body holds has room in memory, whatever it is. */
const LONG_BODY_LENGTH = 1_048_576;
/** One key. Tool schemas have property names, not documents, for keys. */
const MAX_KEY_LENGTH = 65_536;
/** Elements of a list whose faults may all be gathered. */
const FEW = 1_000;

const positiveInteger = z.int("must be a positive integer").check(z.minimum(1, "must be a positive integer"));
const providerIds = z.array(z.string().check(z.minLength(1), z.maxLength(64))).check(z.maxLength(64));

/** Flow's own controls, the body member `route`. Never reaches a provider. */
export const RouteControls = z.strictObject({
  fallback: z.optional(z.boolean()),
  latency_budget_ms: z.optional(z.int().check(z.minimum(1), z.maximum(600_000))),
  spend_budget_usd: z.optional(z.number().check(z.positive())),
  require_tool_approval: z.optional(z.boolean()),
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
const Tool = z.looseObject({
  function: z.optional(z.looseObject({ name: z.optional(z.string()) })),
});

/** The members of a chat request that the router reads. */
export const ChatFields = z.looseObject({
  model: z.string('must be a string such as "flow/best-reasoning"'),
  messages: z.array(Message, "must be an array of messages").check(z.minLength(1, "must not be empty")),
  stream: z.optional(z.boolean("must be true or false")),
  stream_options: z.optional(
    z.nullable(z.looseObject({ include_usage: z.optional(z.boolean("must be true or false")) })),
  ),
  max_tokens: z.optional(positiveInteger),
  max_completion_tokens: z.optional(positiveInteger),
  n: z.optional(positiveInteger),
  tools: z.optional(
    z.array(Tool, "must be an array").check(z.refine(hasUniqueNames, "must not name the same function twice")),
  ),
  route: z.optional(RouteControls),
});

function hasUniqueNames(tools: readonly z.infer<typeof Tool>[]): boolean {
  const names = tools.map((tool) => tool.function?.name).filter((name) => name !== undefined);
  return new Set(names).size === names.length;
}

/** Keys whose duplicates are refused: a vendor may read the other one. */
const READ_KEYS: ReadonlySet<string> = new Set(Object.keys(ChatFields.shape));

export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  /** The client asked for the usage event of a stream. */
  readonly includeUsage: boolean;
  readonly controls: RouteControls;
  /** The client's own text and where its members stand. */
  readonly text: string;
  readonly members: readonly JsonMember[];
  /** The same, parsed. Numbers may have lost precision here: never the source of what is forwarded. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Checks a request body. Throws `invalid_json` or `invalid_request` that names the field and the remedy. */
export function parseChatRequest(text: string): ChatRequest {
  if (text.length > LONG_BODY_LENGTH && hasMoreValues(text, MAX_VALUES)) {
    throw new RouterError("invalid_request", `The request body has more than ${MAX_VALUES} values.`);
  }
  let fields: unknown;
  try {
    fields = parseJson(text);
  } catch {
    throw notJson();
  }
  if (!isJsonObject(fields)) {
    throw new RouterError("invalid_request", "The request body must be a JSON object with `model` and `messages`.");
  }
  const shape = scanJson(text);
  refuseShape(shape);
  const cut = { ...upToFault(fields, "messages", Message), ...upToFault(fields, "tools", Tool) };
  const parsed = ChatFields.safeParse({ ...fields, ...cut }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues[0]);
  refuseTwins(fields, text, shape);
  const { model, stream, stream_options, route } = parsed.data;
  return {
    model,
    stream: stream ?? false,
    includeUsage: stream_options?.include_usage ?? false,
    controls: route ?? {},
    text,
    members: shape.members,
    fields,
  };
}

/** A long list without what stands behind its first fault: only that one is told, and a million take all memory. */
function upToFault(
  fields: Readonly<Record<string, unknown>>,
  name: string,
  element: typeof Message | typeof Tool,
): Readonly<Record<string, unknown>> {
  const list = fields[name];
  if (!Array.isArray(list) || list.length <= FEW) return {};
  const at = list.findIndex((each) => !element.safeParse(each).success);
  return at === -1 ? {} : { [name]: list.slice(0, at + 1) };
}

function refuseShape(shape: ReturnType<typeof scanJson>): void {
  if (shape.depth > MAX_DEPTH) {
    throw new RouterError("invalid_request", `The request body is nested deeper than ${MAX_DEPTH} levels.`);
  }
  if (shape.memberCount > MAX_MEMBERS) {
    throw new RouterError("invalid_request", `The request body has more than ${MAX_MEMBERS} object members.`);
  }
  const seen = new Set<string>();
  for (const { key } of shape.members) {
    if (key.length > MAX_KEY_LENGTH) {
      throw new RouterError(
        "invalid_request",
        `A key of the request body is longer than ${MAX_KEY_LENGTH} characters.`,
      );
    }
    if (READ_KEYS.has(key) && seen.has(key)) {
      throw new RouterError("invalid_request", `\`${key}\` is given twice. Send it once.`, { param: key });
    }
    seen.add(key);
  }
}

/** Members of a message that say whose result it is or what it calls. */
const GATED_KEYS: ReadonlySet<string> = new Set([
  ...["role", "name", "content", "tool_call_id", "tool_calls", "function_call"],
]);

/**
 * Refuses a message in which a vendor may read another call or result than the router: of two equal keys some parsers
 * take the first. Costs next to nothing where no key of the body is given twice.
 */
function refuseTwins(fields: Record<string, unknown>, text: string, shape: ReturnType<typeof scanJson>): void {
  if (countMembers(fields) === shape.memberCount) return;
  const member = shape.members.find(({ key }) => key === "messages");
  if (member === undefined) return;
  const isTwofold = scanArray(text, member.valueStart).some(({ start, end }) => {
    const raw = text.slice(start, end);
    const { members } = scanJson(raw);
    const read = members.filter(({ key }) => GATED_KEYS.has(key));
    const values = read.map(({ valueStart, valueEnd }) => raw.slice(valueStart, valueEnd));
    const isTwin = new Set(read.map(({ key }) => key)).size < read.length;
    return isTwin || values.some((value) => countMembers(tryParseJson(value)) !== scanJson(value).memberCount);
  });
  if (!isTwofold) return;
  throw new RouterError("invalid_request", "A message gives a key twice. Send each key once.", { param: "messages" });
}

/** As `JsonShape.memberCount`, where of equal keys one is left. Spelled out: this runs for every request. */
function countMembers(value: unknown): number {
  let count = 0;
  if (Array.isArray(value)) {
    for (const each of value) if (typeof each === "object") count += countMembers(each);
  } else if (isJsonObject(value)) {
    for (const key in value) count += typeof value[key] === "object" ? 1 + countMembers(value[key]) : 1;
  }
  return count;
}
