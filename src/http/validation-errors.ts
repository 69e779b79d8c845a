/**
 * Bodies, and faults of a schema as the contract's error: the field in the client's own spelling, and what it must be.
 *
 * zod/mini brings no texts of its own, so they stand here, once.
 */
import type * as z from "zod/mini";
import { parseJson, repeatedKey, TooMuchJsonError } from "../lib/json.ts";
import { RouterError } from "./errors.ts";

const TOO_MUCH =
  "The request body has too many objects and arrays, or is nested too deep. Send it in several requests.";

function notJson(): RouterError {
  const message = "The request body is not valid JSON. Send one JSON object, encoded as UTF-8.";
  return new RouterError("invalid_json", message);
}

/** The refusal of a body that `parseJson` threw `error` for. */
export function notParsed(error: unknown): RouterError {
  return error instanceof TooMuchJsonError ? new RouterError("invalid_request", TOO_MUCH) : notJson();
}

/** The value of a body of which every member counts. Throws 400 for what is no JSON or gives a key twice. */
export function parseBody(text: string): unknown {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw notParsed(error);
  }
  // One of two equal keys would silently lose: in a policy a typo would go live, in a decision the opposite could be decided.
  const param = repeatedKey(text)?.slice(0, 200);
  if (param === undefined) return value;
  throw new RouterError("invalid_request", `\`${param}\` is given twice. Send it once.`, { param });
}

/** The first fault zod found, as the contract's error. The path is the client's own spelling: `messages[0].role`. */
export function invalidField(issue: z.core.$ZodIssue | undefined): RouterError {
  if (issue === undefined) return new RouterError("invalid_request", "The request body is not valid.");
  const unknown = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const path = unknown === undefined ? issue.path : [...issue.path, unknown];
  const param = path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}${text === "" ? "" : "."}${String(part)}`),
    "",
  );
  const named = param.length > 200 ? `${param.slice(0, 200)}…` : param;
  if (unknown !== undefined) {
    return new RouterError("invalid_request", `\`${named}\` is not a known field. Remove it.`, { param: named });
  }
  const text = issue.code === "invalid_type" && issue.input === undefined ? "is required" : issue.message;
  const message = named === "" ? `The request body ${text}.` : `\`${named}\`: ${text}.`;
  return new RouterError("invalid_request", message, named === "" ? {} : { param: named });
}

/** What a value must be, for faults whose schema says nothing itself. zod/mini brings no texts of its own. */
const explain: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "int" ? "must be a whole number" : `must be of type ${issue.expected}`;
    case "invalid_value":
      return `must be one of ${issue.values.map((value) => `"${String(value)}"`).join(", ")}`;
    case "too_small":
      return `must ${size(issue.origin, issue.inclusive === false ? "more than" : "at least", issue.minimum)}`;
    case "too_big":
      return `must ${size(issue.origin, issue.inclusive === false ? "less than" : "at most", issue.maximum)}`;
    case "invalid_format":
      return issue.format === "datetime" ? "must be an ISO 8601 date and time with a zone" : "is not well formed";
    default:
      return "is not valid";
  }
};

/** `be at least 1` for numbers, `have at least 1 item` for what is counted. */
function size(origin: string, comparison: string, limit: number | bigint): string {
  const counted = origin === "string" ? "character" : origin === "array" ? "item" : "";
  if (counted === "") return `be ${comparison} ${limit}`;
  return `have ${comparison} ${limit} ${counted}${Number(limit) === 1 ? "" : "s"}`;
}

/** Pass to every `safeParse` whose fault is shown. Without `reportInput` an absent field looks like one of a wrong type. */
export const EXPLAINED = { error: explain, reportInput: true } as const;
