/** Anthropic: where its Messages API is called. */
import { anthropicMessages } from "../wires/anthropic-messages/wire.ts";
import { bridged, droppedParams } from "../wires/bridge.ts";
import type { WrittenRequest } from "../wires/wire.ts";
import type { AdapterCall, Provider, ProviderConfig, Secrets, UpstreamRequest } from "./adapter.ts";
import { API_VERSION, messagesFace } from "./native/messages.ts";
import { classifyMessages } from "./native/messages-errors.ts";
import { inSameWire } from "./native/same-wire.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "./provider-settings.ts";

const ID = "anthropic";
const BASE_URL = "https://api.anthropic.com/v1";
const { translation, toUpstream, lacks, refuses } = bridged(anthropicMessages, ID, send);

const face = messagesFace({
  url: ({ baseUrl }) => `${baseUrl}/messages`,
  classify: (error) => classifyMessages(error),
  // https://platform.claude.com/docs/en/build-with-claude/streaming
  isClean: true,
  // https://platform.claude.com/docs/en/build-with-claude/token-counting
  actions: ["count_tokens"],
  isOwn: true,
});

export const anthropic: Provider = {
  id: ID,
  adapter: { translation, toUpstream, classify: (error) => classifyMessages(error) },
  inWire: (wire, config) => (wire === face.wire.id ? inSameWire(anthropic, face, config) : undefined),
  requires: [["ANTHROPIC_API_KEY"]],
  pool: ["ANTHROPIC_API_KEY"],
  configure,
  lacks,
  refuses,
  // A beta header switches on members of the body: one without the other is refused.
  openHeaders: ["anthropic-beta"],
};

function configure(secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf(ID, BASE_URL, secrets);
  const key = secretText(secrets["ANTHROPIC_API_KEY"]);
  if (baseUrl === null || key === null) return null;
  return { baseUrl, headers: { "x-api-key": key, "anthropic-version": API_VERSION } };
}

function send(
  { path, body, headers, losses }: WrittenRequest,
  { config, stream, asked }: AdapterCall,
): UpstreamRequest {
  return {
    url: config.baseUrl + path,
    headers: { ...headers, ...upstreamHeaders(config, stream) },
    body,
    droppedParams: droppedParams(losses, asked),
  };
}
