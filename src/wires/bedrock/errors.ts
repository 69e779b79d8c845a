/**
 * Converse's errors in the router's classes: part of the wire, because they come inside answers too.
 *
 * The name of the exception decides. It is in the header `x-amzn-errortype` (followed by a colon and an address), in a
 * stream in the message's headers, at times in the body as `__type` (with a namespace before a `#`). Words decide only
 * what a `ValidationException` leaves open, and only at the beginning: a message may quote the client's text.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
 */
import { isJsonObject } from "../../lib/json.ts";
import type { UpstreamError, UpstreamFailure } from "../../providers/adapter.ts";
import { classifyError } from "../../providers/classify.ts";

type Json = Readonly<Record<string, unknown>>;
type Kind = UpstreamFailure["class"];

/** The status each exception has by the API reference, or should have: in lower case, without `exception`. */
const STATUS_OF: ReadonlyMap<string, number> = new Map([
  ["validation", 400],
  ["serialization", 400],
  ["throttling", 429],
  ["throttled", 429],
  ["toomanyrequests", 429],
  ["requestlimitexceeded", 429],
  // Documented with 400, and with the advice to try again later.
  ["servicequotaexceeded", 429],
  ["modelnotready", 429],
  ["modeltimeout", 408],
  ["requesttimeout", 408],
  ["accessdenied", 403],
  ["unrecognizedclient", 403],
  ["expiredtoken", 403],
  ["invalidsignature", 403],
  ["signaturedoesnotmatch", 403],
  ["missingauthenticationtoken", 403],
  ["invalidclienttokenid", 403],
  ["optinrequired", 403],
  // These come with 400, but it is our signature or account that is refused.
  ["incompletesignature", 403],
  ["notauthorized", 403],
  ["requestexpired", 403],
  ["resourcenotfound", 404],
  ["unknownoperation", 404],
  ["ftuformnotfilled", 404],
  ["conflict", 409],
  // 424 by the reference: the model behind the service failed.
  ["modelerror", 500],
  ["modelstreamerror", 500],
  ["internalserver", 500],
  ["internalfailure", 500],
  ["internal", 500],
  ["serviceunavailable", 503],
  ["service_unavailable", 503],
]);

/** A model's own message follows these. */
const FROM_MODEL = /^(?:The model returned the following errors: )?(?:\d{3} Bad Request: )?/;
const WORDS: readonly (readonly [RegExp, Kind])[] = [
  [/^Input is too long\b|^prompt is too long\b|^Input Tokens Exceeded\b/i, "context_length"],
  [/^too many (?:input |total text )?(?:tokens|bytes)\b/i, "context_length"],
  [/^input length and `?max_tokens`? exceed context limit\b/i, "context_length"],
  [/^(?:This model's |Prompt contains .{0,60})?maximum context length\b/i, "context_length"],
  [
    /^(?:Output blocked by content filtering policy|The generated text has been blocked by our content filters)/i,
    "content_filter",
  ],
];

/** Our choice of model or our account, as the service writes it. */
const OURS =
  /^The provided model identifier is invalid\b|^Invocation of model ID .{1,300} with on-demand throughput isn.t supported\b|^This model is not available\b/i;

/**
 * What only this model or this provider refuses: a member, a value, a tool, a schema. Another target may take it, so a
 * quotation of the client's text does no harm here.
 */
const CAPABILITY: readonly RegExp[] = [
  /\b(?:does|do) ?n[o']t support\b|\bdo(?:es)? not (?:allow|accept)\b/i,
  /\b(?:is|are) (?:not supported|deprecated|not compatible|incompatible|not available)\b|\bnot supported (?:for|on|by|with) th(?:is|e) model\b/i,
  /\bprompt caching\b/i,
  /\bcannot both be specified\b|\bExtra inputs are not permitted\b|\bextraneous key \[/i,
  /\bmaximum tokens you requested exceeds the model limit\b|^max_tokens: \d+ > \d+\b/i,
  /\bfailed to satisfy constraint: Member must\b/i,
  /^The compiled grammar is too large\b|^Schema is too complex\b|\btoo many (?:strict tools|optional parameters)\b/i,
  // Thoughts that cannot come back: another provider is not shown them.
  /\bbound to a different conversation\b|\bInvalid `?signature`? in `?thinking`? block\b/i,
  /\bblocks? in the latest assistant message cannot be modified\b/i,
  /\bimage exceeds\b|\bimage dimensions exceed\b|^Could not process (?:image|PDF|document)\b|^The (?:PDF|document|image)\b/i,
];

export function classifyConverse(error: UpstreamError): UpstreamFailure {
  const details = detailsOf(error.body);
  const name = exceptionName(error.headers.get("x-amzn-errortype") ?? details.type);
  const status = details.modelStatus === 429 ? 429 : (STATUS_OF.get(name) ?? error.status);
  const body =
    error.body === undefined
      ? undefined
      : { error: { message: details.message, code: codeOf(name, status, details.message) } };
  const codes = { bedrock_malformed: "invalid_response" } as const;
  const failure = classifyError({ status, headers: error.headers, body }, Date.now(), codes);
  if (failure.class !== "invalid_request") return failure;
  const words = (failure.message ?? "").replace(FROM_MODEL, "");
  if (OURS.test(words)) return { class: "auth", tryNext: true, trySame: false };
  if (!CAPABILITY.some((pattern) => pattern.test(words))) return failure;
  return { ...failure, class: "capability", tryNext: true };
}

/** A code that `classifyError` knows, where the message says more than the status. */
function codeOf(name: string, status: number, message: string | undefined): string | undefined {
  if (name.startsWith("malformed_")) return "bedrock_malformed";
  if (status !== 400 || message === undefined) return undefined;
  const words = message.replace(FROM_MODEL, "");
  const kind = WORDS.find(([pattern]) => pattern.test(words))?.[1];
  if (kind === "context_length") return "context_length_exceeded";
  return kind;
}

/** `com.amazon.coral#ThrottlingException:http://…` → `throttling`. */
function exceptionName(text: string | undefined): string {
  const name = (text ?? "").split(":")[0]?.split("#").at(-1)?.split(",")[0] ?? "";
  return name
    .trim()
    .toLowerCase()
    .replace(/(?:exception|error)$/, "");
}

interface Details {
  readonly type: string | undefined;
  readonly message: string | undefined;
  /** What the model itself answered to the service. */
  readonly modelStatus: unknown;
}

function detailsOf(body: unknown): Details {
  const outer: Json = isJsonObject(body) ? body : {};
  const error: Json = isJsonObject(outer["error"])
    ? outer["error"]
    : isJsonObject(outer["Output"])
      ? outer["Output"]
      : outer;
  return {
    type: [error["__type"], error["type"], error["code"], outer["__type"]].find(isText),
    message: [error["message"], error["Message"], error["originalMessage"], outer["error"]].find(isText),
    modelStatus: error["originalStatusCode"],
  };
}

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
