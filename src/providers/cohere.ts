/**
 * Cohere: address, credential and what its errors mean.
 *
 * Its errors are a status and a sentence, nothing else: two statuses that only Cohere uses so, and one sentence that its
 * error page prints (https://docs.cohere.com/reference/errors), are read here.
 */
import { COHERE_WORDS, lacksWord } from "../embedding/input-type.ts";
import { bridged, droppedParams } from "../wires/bridge.ts";
import { droppedMembers, readEmbed, writeEmbed } from "../wires/cohere/embeddings.ts";
import { cohereWire } from "../wires/cohere/wire.ts";
import type { Provider, ProviderConfig, Secrets, UpstreamError, UpstreamFailure } from "./adapter.ts";
import { classifyError } from "./classify.ts";
import { COHERE_LIMITS } from "./embeddings/rows.ts";
import { baseUrlOf, secretText, upstreamHeaders } from "./provider-settings.ts";

const BASE_URL = "https://api.cohere.com/v2";

/** The prompt is too long; "too many tokens: max tokens must be …" is not that, but a limit of this model's. */
const TOO_LONG =
  /^too many tokens: (?:total number of tokens|the total number of tokens|(?:the )?prompt|size limit exceeded)/i;

/**
 * What only this model or this provider refuses: a member, a value, a tool. Another target may take it, so a quotation of
 * the client's text does no harm here.
 */
const CAPABILITY: readonly RegExp[] = [
  /^too many tokens: max tokens must be\b/i,
  /\bunknown field\b|\bis not a valid field\b|\bunrecognized (?:field|parameter)\b/i,
  /\b(?:does|do) ?n[o']t support\b|\b(?:is|are) not supported\b|\bnot supported (?:for|on|by|with) th(?:is|e) model\b/i,
  /\bcannot (?:be )?(?:used|specif(?:y|ied)|set) (?:both|together|with)\b/i,
];

const { translation, toUpstream, lacks, refuses } = bridged(
  cohereWire,
  "cohere",
  (written, { config, stream, asked }) => ({
    url: `${config.baseUrl}${written.path}`,
    headers: upstreamHeaders(config, stream),
    body: written.body,
    droppedParams: droppedParams(written.losses, asked),
  }),
);

export const cohere: Provider = {
  id: "cohere",
  adapter: { translation, toUpstream, classify },
  requires: [["COHERE_API_KEY"]],
  pool: ["COHERE_API_KEY"],
  configure,
  lacks,
  refuses,
  embedding: {
    limits: () => COHERE_LIMITS,
    base64: "has",
    takesTokens: false,
    takesDimensions: true,
    isNative: false,
    lacksInputType: (word) => lacksWord(word, COHERE_WORDS),
    toUpstream: (call) => ({
      url: `${call.config.baseUrl}/embed`,
      headers: upstreamHeaders(call.config, false),
      body: writeEmbed(call),
      droppedParams: droppedMembers(call),
    }),
    read: readEmbed,
  },
};

function configure(secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf("cohere", BASE_URL, secrets);
  const secret = secretText(secrets["COHERE_API_KEY"]);
  return baseUrl === null || secret === null ? null : { baseUrl, headers: { authorization: `Bearer ${secret}` } };
}

function classify(error: UpstreamError): UpstreamFailure {
  switch (error.status) {
    // A token of its deny list in the prompt or the answer. Elsewhere the number means other things.
    case 498:
      return { ...classifyAs(400, error), class: "content_filter", tryNext: true };
    // "request cancelled", "streaming error": we cancelled nothing that we still read.
    case 499:
      return classifyAs(503, error);
    default: {
      const failure = classifyAs(error.status, error);
      if (failure.class !== "invalid_request") return failure;
      const words = failure.message ?? "";
      if (TOO_LONG.test(words)) return { ...failure, class: "context_length", tryNext: true };
      const isOurs = CAPABILITY.some((pattern) => pattern.test(words));
      return isOurs ? { ...failure, class: "capability", tryNext: true } : failure;
    }
  }
}

function classifyAs(status: number, { headers, body }: UpstreamError): UpstreamFailure {
  return classifyError({ status, headers, body }, Date.now(), { cohere_unknown_end: "invalid_response" });
}
