/** `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's Messages in front of every route. */
import type { Context } from "hono";
import { type AppEnv, settingsOf } from "../../config.ts";
import { OpenBody } from "../../http/body.ts";
import { Deadlines } from "../../lib/time/deadline.ts";
import { promptTokens } from "../../pricing/count.ts";
import type { Door } from "../../relay/door.ts";
import { relay } from "../../relay/relay.ts";
import { nativeCount } from "../../relay/request/count.ts";
import { messagesDoor } from "../../wires/anthropic-messages/door/door.ts";
import { KNOWN } from "../../wires/anthropic-messages/same-wire/known.ts";
import { readContentDemand } from "../../wires/openai-chat/read-demand.ts";
import { authenticateToken } from "../authenticate.ts";
import { conversationGateView } from "../gate-view.ts";
import { apiKey } from "./credential.ts";
import { errorResponse } from "./errors.ts";
import { parseMessagesRequest, readOwn } from "./request.ts";

export const messagesApi: Door = {
  api: "messages",
  kind: "chat",
  wire: messagesDoor,
  token: apiKey,
  parse: (body) => parseMessagesRequest(body),
  endsWithFlow: true,
  gateView: (request) => conversationGateView(request, KNOWN, (text) => readOwn(text, request)),
  errorResponse,
  keepAlive: 'event: ping\ndata: {"type":"ping"}\n\n',
};

export function postMessage(context: Context<AppEnv>): Promise<Response> {
  return relay(context, messagesApi);
}

/** A body that only counts need not say how much may be written. */
const COUNTED_MAX_TOKENS = 1;

/**
 * By the first target that counts itself, else an estimate by characters. Never charged and never gated.
 */
export async function postCountTokens(context: Context<AppEnv>): Promise<Response> {
  const deadlines = new Deadlines();
  const body = new OpenBody(context.req.raw, context.get("receivedAt"), settingsOf(context.env).maxBodyBytes);
  try {
    const key = await authenticateToken(context, apiKey(context.req.raw), "chat");
    const text = await body.read(deadlines);
    const request = parseMessagesRequest(withCap(text), "count_tokens");
    const id = { "request-id": context.get("traceId") };
    const { env, req, executionCtx } = context;
    const counted = await nativeCount({
      ...{ env, http: req.raw, key, request, wire: messagesDoor, now: context.get("receivedAt") },
      waitUntil: (work) => executionCtx.waitUntil(work),
    });
    if (counted !== null) return new Response(counted, { headers: { ...id, "content-type": "application/json" } });
    const { base64Length } = readContentDemand(request.fields["messages"]);
    const headers = { ...id, "x-flowlayer-token-count": "estimated" };
    return Response.json({ input_tokens: promptTokens(request.text, base64Length) }, { headers });
  } finally {
    deadlines.stop();
    body.release();
  }
}

function withCap(text: string): string {
  const at = text.indexOf("{");
  return text.includes('"max_tokens"') || at === -1
    ? text
    : `${text.slice(0, at + 1)}"max_tokens":${COUNTED_MAX_TOKENS},${text.slice(at + 1)}`;
}
