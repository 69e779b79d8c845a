/** Anthropic's Messages API, at Anthropic and wherever else a provider documents it. */

import { isJsonObject } from "../../lib/json.ts";
import { editRequest } from "../../wires/anthropic-messages/same-wire/edit-request.ts";
import { anthropicMessages } from "../../wires/anthropic-messages/wire.ts";
import type { ProviderConfig, UpstreamError, UpstreamFailure } from "../adapter.ts";
import type { SameWireFace } from "./same-wire.ts";

/** https://platform.claude.com/docs/en/api/versioning: the only version there is since 2023. */
export const API_VERSION = "2023-06-01";

export interface MessagesSettings {
  readonly url: SameWireFace["url"];
  readonly classify: (error: UpstreamError) => UpstreamFailure;
  /** Its thinking blocks are signed with an id or a digest, which Anthropic's never are. */
  readonly hasPlainSignatures?: boolean | undefined;
  readonly isClean: boolean;
  readonly actions?: readonly string[] | undefined;
  readonly isOwn?: boolean;
  /** The secret goes by `x-api-key`, and not as a bearer token. */
  readonly byApiKey?: boolean | undefined;
}

export function messagesFace(settings: MessagesSettings): SameWireFace {
  const { url, classify, hasPlainSignatures = false, isClean, actions, isOwn = false, byApiKey = false } = settings;
  const ownsSignature = (signature: string): boolean => isPlain(signature) === hasPlainSignatures;
  return {
    wire: anthropicMessages,
    url,
    headers: ({ config, openHeaders }) => headersOf(config, byApiKey, openHeaders?.["anthropic-version"]),
    edit: (call, params) => editRequest(call, { params, ownsSignature }),
    classify: (error) => withNative(classify(error), error),
    isClean,
    actions,
    announcesThinking: true,
    // Members of the body and their headers go in pairs: one without the other is refused.
    openHeaders: ["anthropic-*"],
    isOwn,
  };
}

/** An id, a digest, or nothing. */
function isPlain(signature: string): boolean {
  return /^[0-9a-f-]{0,64}$/i.test(signature);
}

function headersOf(
  { headers }: ProviderConfig,
  byApiKey: boolean,
  version: string | undefined,
): ProviderConfig["headers"] {
  const { authorization, ...others } = headers;
  const key = byApiKey && authorization !== undefined ? { "x-api-key": authorization.replace(/^Bearer /, "") } : null;
  const credential = key ?? (authorization === undefined ? {} : { authorization });
  return { ...others, ...credential, "anthropic-version": version ?? others["anthropic-version"] ?? API_VERSION };
}

/** Failures that are the client's own to mend: it does so by status, type and words. */
const OF_REQUESTS: ReadonlySet<UpstreamFailure["class"]> = new Set([
  ...(["invalid_request", "context_length", "content_filter", "capability"] as const),
]);

function withNative(failure: UpstreamFailure, { status, body }: UpstreamError): UpstreamFailure {
  const error = isJsonObject(body) ? body["error"] : undefined;
  const isRefusal = status >= 400 && status < 500 && OF_REQUESTS.has(failure.class);
  if (!isRefusal || !isJsonObject(error) || typeof error["type"] !== "string") return failure;
  return { ...failure, native: { status, type: error["type"] } };
}
