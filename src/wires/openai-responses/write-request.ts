/**
 * A conversation as `POST /responses`: whole and stateless, so that it can go on at another provider.
 *
 * https://developers.openai.com/api/reference/resources/responses/methods/create,
 * https://developers.openai.com/api/docs/guides/reasoning#encrypted-reasoning-items
 */
import type { Conversation } from "../../conversation/conversation.ts";
import type { Loss } from "../../conversation/loss.ts";
import { ToolNames } from "../tool-names.ts";
import type { RequestTarget, WrittenRequest } from "../wire.ts";
import { writeControls, writeOthers } from "./write-controls.ts";
import { writeItems } from "./write-items.ts";
import { MAX_NAME_LENGTH } from "./write-tools.ts";

const ENCRYPTED = "reasoning.encrypted_content";

export function writeRequest(conversation: Conversation, target: RequestTarget): WrittenRequest {
  const losses: Loss[] = [];
  const names = new ToolNames(conversation, MAX_NAME_LENGTH);
  const { instructions, input } = writeItems(conversation.turns, target.provider, names, losses);
  const { include, ...controls } = writeControls(conversation, target, names, losses);
  const body: Record<string, unknown> = {
    model: target.model,
    ...(instructions === undefined ? {} : { instructions }),
    input,
    ...controls,
    store: false,
    ...(conversation.stream ? { stream: true } : {}),
  };
  // Models that do not reason refuse to be asked for it.
  const included = [...(target.reasons === true ? [ENCRYPTED] : []), ...(Array.isArray(include) ? include : [])];
  if (included.length > 0) body["include"] = included;
  writeOthers(conversation.others, body, losses);
  return { path: "/responses", body: JSON.stringify(body), losses };
}
