/** `POST /v1/chat/completions`. */
import type { Context } from "hono";
import type { AppEnv } from "../../config.ts";
import { errorResponse } from "../../http/errors.ts";
import { bearerToken } from "../../relay/authenticate.ts";
import type { Door } from "../../relay/door.ts";
import { relay } from "../../relay/relay.ts";
import { chatDoorWire } from "../../wires/openai-chat/door-wire.ts";
import { parseChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { chatGateView } from "./gate-view.ts";

export const chatDoor: Door = {
  api: "chat",
  kind: "chat",
  wire: chatDoorWire,
  token: bearerToken,
  parse: parseChatRequest,
  gateView: chatGateView,
  errorResponse,
  keepAlive: ": waiting-for-approval\n\n",
};

export function postChatCompletion(context: Context<AppEnv>): Promise<Response> {
  return relay(context, chatDoor);
}
