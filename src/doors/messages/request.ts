/**
 * The body of `POST /v1/messages` as the relay reads it.
 *
 * Only what the router itself acts on is checked. The conversation is kept for wires that are written from it; for targets
 * that speak chat, and for bounds and the approval gate, it is said in chat as well.
 */
import * as z from "zod/mini";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject } from "../../lib/json.ts";
import { keyLevel } from "../../lib/json-keys.ts";
import { messagesDoor } from "../../wires/anthropic-messages/door/door.ts";
import { type ChatRequest, controlsOf, RouteControls, readDocument } from "../../wires/openai-chat/request-fields.ts";
import { toRequest } from "../to-request.ts";

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

function hasUniqueNames(tools: readonly z.infer<typeof Tool>[]): boolean {
  const names = tools.flatMap(({ name }) => name ?? []);
  return new Set(names).size === names.length;
}

const BLOCK = keyLevel(["type", "text", "id", "name", "input", "tool_use_id", "is_error", "source", "content"]);
const KEYS = keyLevel(Object.keys(MessagesFields.shape), {
  route: keyLevel(Object.keys(RouteControls.shape)),
  messages: keyLevel(["role"], { content: BLOCK }),
  system: keyLevel(["type", "text"]),
  tools: keyLevel(["type", "name"]),
  tool_choice: keyLevel(["type", "name"]),
  thinking: keyLevel(["type", "budget_tokens"]),
});

/** Throws `invalid_json` or `invalid_request` that names the field and the remedy. */
export function parseMessagesRequest(body: string): ChatRequest {
  const { text, fields } = readDocument(body, KEYS);
  const present = Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => value !== null || !Object.hasOwn(MessagesFields.shape, name)),
  );
  const route = isJsonObject(present["route"]) ? { route: controlsOf(present["route"]) } : {};
  const parsed = MessagesFields.safeParse({ ...present, ...route }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues[0]);
  const { model, stream, route: controls } = parsed.data;
  const conversation = messagesDoor.readRequest(present, text);
  if (conversation.turns.length === 0) {
    throw new RouterError("invalid_request", "`messages`: must have content.", { param: "messages" });
  }
  // Usage is part of every stream of this wire.
  const asked = { model, stream: stream ?? false, includeUsage: true, controls: controls ?? {} };
  return toRequest(conversation, asked, present);
}
