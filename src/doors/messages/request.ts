/**
 * The body of `POST /v1/messages` as the relay reads it.
 *
 * Only what the router itself acts on is checked. The conversation is kept for wires that are written from it; for targets
 * that speak chat, and for bounds and the approval gate, it is said in chat as well.
 */
import * as z from "zod/mini";
import type { Json } from "../../conversation/part.ts";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject, JsonEdit, parseJson } from "../../lib/json.ts";
import { keyLevel } from "../../lib/json-keys.ts";
import { listsUpToFault, shortLists } from "../../lib/long-lists.ts";
import { messagesDoor } from "../../wires/anthropic-messages/door/door.ts";
import { KNOWN } from "../../wires/anthropic-messages/same-wire/known.ts";
import {
  type ChatRequest,
  controlsOf,
  PRICED_KEYS,
  RouteControls,
  readDocument,
} from "../../wires/openai-chat/request-fields.ts";
import { type AskedRequest, ownBody, toRequest } from "../to-request.ts";

const positiveInteger = z.int("must be a positive integer").check(z.minimum(1, "must be a positive integer"));
const Message = z.looseObject(
  { role: z.enum(["user", "assistant", "system"], 'must be "user" or "assistant"') },
  "must be an object",
);
const Tool = z.looseObject({ name: z.optional(z.string()) }, "must be an object");

/** The members that the router reads. `max_tokens` is required, as it is at the provider. */
export const MessagesFields = z.looseObject({
  model: z.string('must be a string such as "flow/best-reasoning"'),
  max_tokens: positiveInteger,
  messages: z.array(Message, "must be an array of messages").check(z.minLength(1, "must not be empty")),
  system: z.optional(z.union([z.string(), z.array(z.looseObject({}))], "must be a string or a list of blocks")),
  stream: z.optional(z.boolean("must be true or false")),
  tools: z.optional(
    z.array(Tool, "must be an array").check(z.refine(hasUniqueNames, "must not name the same tool twice")),
  ),
  tool_choice: z.optional(z.looseObject({ type: z.string() }, "must be an object with a `type`")),
  thinking: z.optional(z.looseObject({ type: z.string() }, "must be an object with a `type`")),
  route: z.optional(RouteControls),
});

const ROLES: ReadonlySet<unknown> = new Set(["user", "assistant", "system"]);
const isMessage = (value: unknown): boolean => isJsonObject(value) && ROLES.has(value["role"]);
const isTool = (value: unknown): boolean =>
  isJsonObject(value) && ["string", "undefined"].includes(typeof value["name"]);

function hasUniqueNames(tools: readonly z.infer<typeof Tool>[]): boolean {
  const names = tools.flatMap(({ name }) => name ?? []);
  return new Set(names).size === names.length;
}

const SOURCE = keyLevel(["type", "media_type", "data", "url", "file_id"]);
const BLOCK = keyLevel(["type", "text", "id", "name", "input", "tool_use_id", "is_error"], {
  source: SOURCE,
  content: keyLevel(["type", "text"], { source: SOURCE }),
});
const OWN_PRICED = ["mcp_servers", "container", "context_management", "fallbacks", "output_config"];
const KEYS = keyLevel([...Object.keys(MessagesFields.shape), ...PRICED_KEYS, ...OWN_PRICED], {
  route: keyLevel(Object.keys(RouteControls.shape)),
  messages: keyLevel(["role"], { content: BLOCK }, true),
  system: keyLevel(["type", "text"], {}, true),
  tools: keyLevel(["type", "name"]),
  tool_choice: keyLevel(["type", "name"]),
  thinking: keyLevel(["type", "budget_tokens"]),
});

/** Throws `invalid_json` or `invalid_request` that names the field and the remedy. */
export function parseMessagesRequest(body: string, action?: string): ChatRequest {
  const { text, fields } = readDocument(body, KEYS);
  const own = withoutAbsent(text, fields);
  const present = own === text ? fields : objectOf(parseJson(own));
  const route = isJsonObject(present["route"]) ? { route: controlsOf(present["route"]) } : {};
  const cut = {
    ...shortLists(present, { messages: isMessage, system: isJsonObject }),
    ...listsUpToFault(present, { tools: isTool }),
  };
  const parsed = MessagesFields.safeParse({ ...present, ...route, ...cut }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  const { model, stream, route: controls } = parsed.data;
  // Usage is part of every stream of this wire.
  const asked = { model, stream: stream ?? false, includeUsage: true, controls: controls ?? {} };
  return readOwn(own, action === undefined ? asked : { ...asked, action }, present);
}

/** The request of a body that was checked. */
export function readOwn(text: string, asked: AskedRequest, parsed?: Json): ChatRequest {
  const own = ownBody(text, KNOWN, parsed);
  const conversation = messagesDoor.readRequest(own.fields, text);
  if (conversation.turns.length === 0) {
    throw new RouterError("invalid_request", "`messages`: must have content.", { param: "messages" });
  }
  return toRequest(conversation, asked, own.fields, own);
}

/** The text without what asks for nothing: a `null` of a member that is read, and an empty list of tools. */
function withoutAbsent(text: string, fields: Json): string {
  const names = Object.keys(MessagesFields.shape).filter((name) => fields[name] === null);
  const { tools } = fields;
  if (Array.isArray(tools) && tools.length === 0) names.push("tools", "tool_choice");
  if (names.length === 0) return text;
  const edit = new JsonEdit(text);
  for (const name of names) edit.remove(name);
  return edit.toString();
}

function objectOf(value: unknown): Json {
  return isJsonObject(value) ? value : {};
}
