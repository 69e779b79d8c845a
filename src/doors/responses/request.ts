/**
 * The body of `POST /v1/responses` as the relay reads it.
 *
 * The conversation is kept for wires that are written from it; for targets that speak chat, and for bounds and the
 * approval gate, it is said in chat as well.
 */
import * as z from "zod/mini";
import type { Json } from "../../conversation/part.ts";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import { keyLevel } from "../../lib/json-keys.ts";
import {
  type ChatRequest,
  controlsOf,
  PRICED_KEYS,
  RouteControls,
  readDocument,
} from "../../wires/openai-chat/request-fields.ts";
import { readRequest } from "../../wires/openai-responses/read-request.ts";
import { withResolvedText } from "../../wires/openai-responses/references.ts";
import { checkFields, ResponsesFields } from "../../wires/openai-responses/request-fields.ts";
import { KNOWN } from "../../wires/openai-responses/same-wire/known.ts";
import { type AskedRequest, ownBody, toRequest } from "../to-request.ts";
import type { ResolvedFields } from "./store.ts";

const Controls = z.looseObject({ route: z.optional(RouteControls) });

const PART = keyLevel(["type", "text", "image_url", "file_id", "file_data", "file_url", "refusal"]);
const ITEM = keyLevel(
  ["type", "id", "role", "call_id", "name", "namespace", "arguments", "input", "encrypted_content", "status"],
  { content: PART, output: PART, summary: PART },
  true,
);
const TOOL = keyLevel(["type", "name"], { tools: keyLevel(["type", "name"]) });
/** What another reader must not understand differently: it chooses the model, the bound, the gate and the route. */
const OWN_KEYS = ["background", "conversation", "prompt", "context_management"];
const KEYS = keyLevel([...Object.keys(ResponsesFields.shape), ...PRICED_KEYS, ...OWN_KEYS], {
  route: keyLevel(Object.keys(RouteControls.shape)),
  input: ITEM,
  tools: TOOL,
  tool_choice: keyLevel(["type", "name", "namespace", "mode"], { tools: TOOL }),
  reasoning: keyLevel(["effort", "summary"]),
  text: keyLevel(["verbosity"], { format: keyLevel(["type", "name", "strict", "schema"]) }),
});

/** The body as it is documented. */
export const ResponsesRequest = z.extend(ResponsesFields, { route: z.optional(RouteControls) });

export interface ReadResponses {
  readonly request: ChatRequest;
  readonly resolved: ResolvedFields;
  /** The client does not forbid to keep the answer. */
  readonly mayStore: boolean;
}

/**
 * Throws `invalid_json` or `invalid_request` that names the field and the remedy, and what `resolve` throws. `defaults`:
 * for members that this call does not need.
 */
export async function parseResponsesRequest(
  body: string,
  resolve: (fields: Json) => Promise<ResolvedFields>,
  defaults: Json = {},
  action?: string,
): Promise<ReadResponses> {
  const { text, fields } = readDocument(body, KEYS);
  const present: Json = { ...defaults, ...withoutNulls(fields) };
  const controls = controlsFrom(present);
  // A conversation may go on with nothing new to say.
  const goesOn = present["input"] === undefined && typeof present["previous_response_id"] === "string";
  const asked = goesOn ? { ...present, input: [] } : present;
  const { model, stream, store } = checkFields(asked);
  const resolved = await resolve(asked);
  const sent = withResolvedText(withoutAbsent(text, fields), withoutNulls(fields), resolved.earlier, resolved.items);
  // Usage is part of every stream of this wire.
  const whole = action === undefined ? {} : { action, stream: false };
  const wanted = { model, stream: stream ?? false, includeUsage: true, controls, ...whole };
  const request = readOwn(sent, wanted, present, {
    resolved: resolved.fields,
    parsed: sent === text ? fields : undefined,
  });
  return { request, resolved, mayStore: store !== false };
}

interface ReadBefore {
  /** The members, what they refer to included. */
  readonly resolved?: Json;
  /** The members of `text`, where it was parsed before. */
  readonly parsed?: Json | undefined;
}

/** The request of a body that was checked. */
export function readOwn(
  text: string,
  asked: AskedRequest,
  clientFields: Json,
  { resolved, parsed }: ReadBefore = {},
): ChatRequest {
  const own = ownBody(text, KNOWN, parsed);
  const conversation = readRequest(resolved ?? withoutNulls(own.fields));
  if (!conversation.turns.some(({ path, parts }) => path !== "instructions" && parts.length > 0)) {
    throw new RouterError("invalid_request", "`input`: must have content.", { param: "input" });
  }
  // What is stored is stored here: no provider is asked to keep anything.
  const stateless = { ...conversation, controls: { ...conversation.controls, store: undefined } };
  return toRequest(stateless, asked, clientFields, own);
}

/** Members that are read: `null` means absent, and an empty list of tools asks for none. */
function withoutAbsent(text: string, fields: Json): string {
  const names = Object.keys(KNOWN).filter((name) => fields[name] === null);
  const { tools } = fields;
  if (Array.isArray(tools) && tools.length === 0) names.push("tools", "tool_choice", "parallel_tool_calls");
  if (names.length === 0) return text;
  const edit = new JsonEdit(text);
  for (const name of names) edit.remove(name);
  return edit.toString();
}

/** SDKs send `null` for what they leave out. */
function withoutNulls(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function controlsFrom({ route }: Json): RouteControls {
  const given = isJsonObject(route) ? controlsOf(route) : route;
  const parsed = Controls.safeParse(given === undefined ? {} : { route: given }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  return parsed.data.route ?? {};
}
