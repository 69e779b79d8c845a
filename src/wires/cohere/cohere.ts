/**
 * Cohere's Chat API, version 2 (https://docs.cohere.com/reference/chat).
 *
 * Its errors are a status and a sentence, nothing else: two statuses that only Cohere uses so, and one sentence that its
 * error page prints (https://docs.cohere.com/reference/errors), are read here.
 */
import type { Provider, ProviderConfig, Secrets, UpstreamError, UpstreamFailure } from "../../providers/adapter.ts";
import { classifyError } from "../../providers/classify.ts";
import { baseUrlOf, secretText } from "../../providers/provider-settings.ts";
import { toCohereCompletion } from "./answer.ts";
import { cohereLacks, toCohereRequest } from "./request.ts";
import { CohereStream } from "./stream.ts";

const BASE_URL = "https://api.cohere.com/v2";

/** The prompt is too long; "too many tokens: max tokens must be …" is not that, but a limit the client chose. */
const TOO_LONG =
  /^too many tokens: (?:total number of tokens|the total number of tokens|(?:the )?prompt|size limit exceeded)/i;

export const cohere: Provider = {
  id: "cohere",
  adapter: {
    toUpstream: toCohereRequest,
    translation: {
      toCompletion: (body, context) => toCohereCompletion(body, context, classify),
      openStream: (context) => new CohereStream(context),
    },
    classify,
  },
  requires: [["COHERE_API_KEY"]],
  configure,
  lacks: cohereLacks,
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
      const isTooLong = failure.class === "invalid_request" && TOO_LONG.test(failure.message ?? "");
      return isTooLong ? { ...failure, class: "context_length", tryNext: true } : failure;
    }
  }
}

function classifyAs(status: number, { headers, body }: UpstreamError): UpstreamFailure {
  return classifyError({ status, headers, body }, Date.now());
}
