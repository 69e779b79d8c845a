/**
 * OpenAI's Responses API for chat requests whose model is given tools by no other.
 *
 * From GPT-5.4 on chat completions refuse function tools to a model that reasons. Such a request is written for
 * `/responses` and its answer read back; everything else of the provider stays as it is. An endpoint that does not know
 * the path is remembered for an hour: its target then lacks `tools`.
 */
import { changesMeaning } from "../../conversation/loss.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type Bridge, bridged, droppedParams, UntranslatableRequest } from "../../wires/bridge.ts";
import { effectiveFields } from "../../wires/openai-chat/chat-wire.ts";
import { readControls } from "../../wires/openai-chat/read-request.ts";
import { responsesWire } from "../../wires/openai-responses/wire.ts";
import { isThinkingOff } from "../../wires/openai-responses/write-controls.ts";
import type { UpstreamWire } from "../../wires/wire.ts";
import type { Provider, ProviderConfig, TargetRequest, UpstreamError, UpstreamFailure } from "../adapter.ts";
import { upstreamHeaders } from "../provider-settings.ts";
import { isMissing, isPathUnknown, noteMissing } from "./missing-paths.ts";

/** Where the Responses API of a configured provider is, its version included. */
export type ResponsesAddress = (config: ProviderConfig) => string;

/** The provider with `/responses` for the requests that need it. */
export function withResponsesForTools(provider: Provider, addressOf: ResponsesAddress): Provider {
  return {
    ...provider,
    forRequest: (request) => (needsResponses(request) ? overResponses(provider, addressOf, request) : provider),
  };
}

function needsResponses({ asked, params, facts }: TargetRequest): boolean {
  if (facts.responses_for_tools !== true) return false;
  const fields = effectiveFields(asked.fields, params);
  if (!isListed(fields["tools"]) && !isListed(fields["functions"])) return false;
  // Asking a model to stop thinking is useless where that cannot be switched off.
  const canBeOff = facts.efforts?.includes("none") ?? true;
  return !(canBeOff && isThinkingOff(readControls(fields).reasoning));
}

function isListed(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function overResponses(provider: Provider, addressOf: ResponsesAddress, request: TargetRequest): Provider {
  const { config, model, facts } = request;
  const address = addressOf(config);
  const place = `${address} ${model}`;
  const bridge = bridgeTo(provider.id, addressOf, facts.efforts);
  return {
    ...provider,
    adapter: {
      translation: { ...bridge.translation, hidesThinking: true },
      toUpstream(call) {
        if (isMissing(place, Date.now())) throw new UntranslatableRequest(changesMeaning("tools", "tool", NO_TOOLS));
        return bridge.toUpstream(call);
      },
      classify: (error) => (isPathUnknown(error) ? missingFrom(place) : classify(provider, error)),
    },
    lacks: (asked) => (isMissing(place, Date.now()) ? "tools" : bridge.lacks(asked, model)),
    refuses: (asked) =>
      isMissing(place, Date.now()) ? { param: "tools", message: NO_TOOLS } : bridge.refuses(asked, model),
  };
}

const NO_TOOLS = "This model takes tools over the Responses API only, which its endpoint does not have.";

function bridgeTo(id: string, addressOf: ResponsesAddress, efforts: readonly string[] | undefined): Bridge {
  const wire: UpstreamWire = {
    ...responsesWire,
    writeRequest: (conversation, target) =>
      responsesWire.writeRequest(conversation, { ...target, reasons: true, efforts }),
  };
  return bridged(wire, id, (written, { config, stream, asked }) => ({
    url: addressOf(config),
    headers: upstreamHeaders(config, stream),
    body: written.body,
    droppedParams: droppedParams(written.losses, asked),
  }));
}

/** Another target may have tools, or read what this one no longer can: thoughts it did not encrypt itself. */
const CAPABILITY: UpstreamFailure = { class: "capability", tryNext: true, trySame: false };
const UNREADABLE_THOUGHTS = "invalid_encrypted_content";

function classify({ adapter }: Provider, error: UpstreamError): UpstreamFailure {
  const failure = adapter.classify(error);
  const own = isJsonObject(error.body) ? error.body["error"] : undefined;
  const { code, param, message } = isJsonObject(own) ? own : {};
  const namesTools = param === "tools" || param === "reasoning_effort" || param === "reasoning.effort";
  const isRefused = failure.class === "invalid_request" && namesTools && /\bnot supported\b/i.test(String(message));
  if (code !== UNREADABLE_THOUGHTS && !isRefused) return failure;
  const { message: words, param: named } = failure;
  return {
    ...CAPABILITY,
    ...(words === undefined ? {} : { message: words }),
    ...(named === undefined ? {} : { param: named }),
  };
}

function missingFrom(place: string): UpstreamFailure {
  noteMissing(place);
  return CAPABILITY;
}
