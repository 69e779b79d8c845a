/** `POST /v1/responses` and the paths below it: OpenAI's Responses in front of every route. */
import type { Context } from "hono";
import { type AppEnv, settingsOf } from "../../config.ts";
import type { Json } from "../../conversation/part.ts";
import {
  deleteResponse as deleteStored,
  type Owner,
  type Reader,
  readInput,
  readResponse,
} from "../../conversation-store/client.ts";
import { OpenBody } from "../../http/body.ts";
import { errorResponse, RouterError } from "../../http/errors.ts";
import { AnswerRoom } from "../../http/held-answer.ts";
import { Deadlines } from "../../lib/time/deadline.ts";
import { promptTokens } from "../../pricing/count.ts";
import { bearerToken } from "../../relay/authenticate.ts";
import type { Door } from "../../relay/door.ts";
import { relay } from "../../relay/relay.ts";
import { nativeCount } from "../../relay/request/count.ts";
import { readContentDemand } from "../../wires/openai-chat/read-demand.ts";
import { KNOWN } from "../../wires/openai-responses/same-wire/known.ts";
import { responsesDoor } from "../../wires/openai-responses/wire.ts";
import { authenticateOwner } from "../authenticate.ts";
import { conversationGateView } from "../gate-view.ts";
import { inputItems } from "./input-items.ts";
import { parseResponsesRequest, type ReadResponses, readOwn } from "./request.ts";
import { keeper, mayKeep, resolveReferences } from "./store.ts";

export function postResponse(context: Context<AppEnv>): Promise<Response> {
  return relay(context, responsesApi(context));
}

/** A door of this request's own: what its answers say of it and where they are kept depends on what it said. */
export function responsesApi({ env }: Context<AppEnv>, action?: string): Door {
  let read: (ReadResponses & { readonly owner: Owner }) | null = null;
  let members: Json = {};
  return {
    api: "responses",
    kind: "chat",
    wire: responsesDoor(() => members),
    token: bearerToken,
    async parse(body, owner) {
      const parsed = await parseResponsesRequest(body, (fields) => resolveReferences(fields, env, owner), {}, action);
      read = { ...parsed, owner };
      members = { previous_response_id: parsed.resolved.previousId, store: parsed.mayStore };
      return parsed.request;
    },
    gateView: (request) =>
      conversationGateView(request, KNOWN, (text) => readOwn(text, request, request.clientFields ?? request.fields)),
    keeperOf(policy) {
      if (read === null || !read.mayStore) return null;
      if (!mayKeep(env, policy.responses)) members = { ...members, store: false };
      return keeper({ env, owner: read.owner, ...read.resolved }, policy);
    },
    endsWithFlow: true,
    errorResponse,
    keepAlive: ": waiting-for-approval\n\n",
  };
}

/** A conversation made shorter, by a target that has it natively. */
export function postCompact(context: Context<AppEnv>): Promise<Response> {
  return relay(context, { ...responsesApi(context, "compact"), keeperOf: () => null });
}

/** By the first target that counts itself, else an estimate by characters. Never charged and never gated. */
export async function postInputTokens(context: Context<AppEnv>): Promise<Response> {
  const { env } = context;
  const deadlines = new Deadlines();
  const body = new OpenBody(context.req.raw, context.get("receivedAt"), settingsOf(env).maxBodyBytes);
  try {
    const { key, ...owner } = await authenticateOwner(context, "chat");
    const text = await body.read(deadlines);
    const reader = { ...owner, hold: (bytes: number) => body.hold(bytes) };
    const resolve = (fields: Json) => resolveReferences(fields, env, reader);
    const { request } = await parseResponsesRequest(text, resolve, { model: "any" }, "input_tokens");
    const { req, executionCtx } = context;
    const counted = await nativeCount({
      ...{ env, http: req.raw, key, request, wire: responsesDoor(() => ({})), now: context.get("receivedAt") },
      waitUntil: (work) => executionCtx.waitUntil(work),
    });
    if (counted !== null) return new Response(counted, { headers: { "content-type": "application/json" } });
    const { base64Length } = readContentDemand(request.fields["messages"]);
    const answer = { object: "response.input_tokens", input_tokens: promptTokens(request.text, base64Length) };
    return Response.json(answer, { headers: { "x-flowlayer-token-count": "estimated" } });
  } finally {
    deadlines.stop();
    body.release();
  }
}

export async function getResponse(context: Context<AppEnv>): Promise<Response> {
  const owner = await authenticateOwner(context, "chat");
  const { searchParams } = new URL(context.req.url);
  if (searchParams.get("stream") === "true") {
    const message = "A stored response is not streamed again. Leave `stream` out.";
    throw new RouterError("invalid_request", message, { param: "stream" });
  }
  const id = idOf(context);
  return answerStored(owner, (reader) => readResponse(context.env.CONVERSATION_STORE, reader, id));
}

/** What `read` finds, counted against what the isolate may hold until it is sent. */
async function answerStored(owner: Owner, read: (reader: Reader) => Promise<string | null>): Promise<Response> {
  const room = new AnswerRoom(Date.now());
  try {
    const text = await read({ ...owner, hold: room.hold });
    if (text === null) throw notStored();
    return room.respond(text);
  } catch (error) {
    room.release();
    throw error;
  }
}

export async function deleteResponse(context: Context<AppEnv>): Promise<Response> {
  const owner = await authenticateOwner(context, "chat");
  const id = idOf(context);
  if (!(await deleteStored(context.env.CONVERSATION_STORE, owner, id))) throw notStored();
  return context.json({ id, object: "response", deleted: true });
}

export async function getInputItems(context: Context<AppEnv>): Promise<Response> {
  const owner = await authenticateOwner(context, "chat");
  const id = idOf(context);
  return answerStored(owner, async (reader) => {
    const input = await readInput(context.env.CONVERSATION_STORE, reader, id);
    return input === null ? null : JSON.stringify(inputItems({ id, input }, new URL(context.req.url).searchParams));
  });
}

const MAX_ID_LENGTH = 256;

function idOf({ req }: Context<AppEnv>): string {
  const id = req.param("id") ?? "";
  if (id === "" || id.length > MAX_ID_LENGTH) throw notStored();
  return id;
}

function notStored(): RouterError {
  const message =
    "No response with this id is stored for this API key: it is unknown, has expired or was not stored. To go on with its conversation, send the whole input.";
  return new RouterError("response_not_found", message, { param: "id" });
}
