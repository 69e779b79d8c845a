/**
 * What an operator needs of a provider's answer to find out at night what is wrong: its code, the id of the request on
 * its side, and, where the client's request has no part in it, its words. Pure.
 */
import { redactCredentials } from "../lib/redact-credentials.ts";
import type { Diagnosis, ProviderConfig, UpstreamError, UpstreamFailure } from "./adapter.ts";
import { errorDetails, withoutSecretsOf } from "./classify.ts";

const MAX_MESSAGE_LENGTH = 300;
const MAX_ID_LENGTH = 128;
/** The classes in which a message cannot quote what the client asked: ours, the provider's or the network's trouble. */
const OPERATIONAL: ReadonlySet<UpstreamFailure["class"]> = new Set([
  ...(["auth", "rate_limited", "server_error", "network", "timeout"] as const),
]);
/** Where providers put the id that their support asks for, the most telling first. */
const REQUEST_ID_HEADERS = [
  ...["x-request-id", "request-id", "apim-request-id", "x-ms-request-id", "x-amzn-requestid", "x-goog-request-id"],
  ...["x-trace-id", "x-generation-id", "cf-ray"],
];
const CODE = /^[\w.:/-]{1,64}$/;
const ID = /^[\w.:=/+-]+$/;

/** The id that the provider gave the request; `undefined` where it names none. */
export function requestIdOf(headers: Headers): string | undefined {
  for (const name of REQUEST_ID_HEADERS) {
    const id = headers.get(name);
    if (id !== null && ID.test(id)) return id.slice(0, MAX_ID_LENGTH);
  }
  return undefined;
}

/** `failure` with what operators may know of `error`. */
export function diagnosed(failure: UpstreamFailure, error: UpstreamError, config: ProviderConfig): UpstreamFailure {
  const { codes, message } = errorDetails(error.body);
  const code = codes.find((each) => CODE.test(each) && !/^\d+$/.test(each)) ?? codes.find((each) => CODE.test(each));
  const isShown = OPERATIONAL.has(failure.class) && message !== undefined;
  return withDiagnosis(failure, {
    ...(code === undefined ? {} : { code }),
    ...(isShown ? { message: withoutSecretsOf(config, redactCredentials(message, MAX_MESSAGE_LENGTH)) } : {}),
  });
}

/** The same for a call that got no answer: `words` are ours or the runtime's. */
export function unanswered(failure: UpstreamFailure, words: string): UpstreamFailure {
  return OPERATIONAL.has(failure.class)
    ? withDiagnosis(failure, { message: redactCredentials(words, MAX_MESSAGE_LENGTH) })
    : failure;
}

function withDiagnosis(failure: UpstreamFailure, diagnosis: Diagnosis): UpstreamFailure {
  const { message = "", ...rest } = diagnosis;
  const said = message === "" ? rest : { ...rest, message };
  return Object.keys(said).length === 0 ? failure : { ...failure, diagnosis: said };
}
