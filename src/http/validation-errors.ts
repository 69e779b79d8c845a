/**
 * Bodies, and faults of a schema as the contract's error: the field in the client's own spelling, and what it must be.
 *
 * zod/mini brings no texts of its own, so they stand here, once.
 */
import type * as z from "zod/mini";
import { parseJson, repeatedKey, TooMuchJsonError } from "../lib/json.ts";
import { editDistance, nearest } from "../lib/text/nearest.ts";
import { RouterError } from "./errors.ts";

/** Unknown members that are compared with the known ones, and the length from which a name is no misspelled one. */
const MAX_COMPARED = 8;
const MAX_NAME = 64;
/** Letters from which the beginning of a name says which one is meant. */
const MIN_BEGINNING = 4;
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
export function invalidField(issues: readonly z.core.$ZodIssue[]): RouterError {
  const [issue] = issues;
  if (issue === undefined) return new RouterError("invalid_request", "The request body is not valid.");
  const isMissing = issue.code === "invalid_type" && issue.input === undefined;
  const misspelled = isMissing ? misspelledAs(issue, issues) : null;
  if (misspelled !== null) return misspelled;
  if (issue.code === "unrecognized_keys") return unknownField(issue, issue.keys[0] ?? "");
  const named = pathOf(issue.path);
  const text = isMissing ? "is required" : issue.message;
  const message = named === "" ? `The request body ${text}.` : `\`${named}\`: ${text}.`;
  return new RouterError("invalid_request", message, named === "" ? {} : { param: named });
}

function pathOf(path: readonly PropertyKey[]): string {
  const whole = path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}${text === "" ? "" : "."}${String(part)}`),
    "",
  );
  return whole.length > 200 ? `${whole.slice(0, 200)}…` : whole;
}

/** A misspelled member is missing under its right name too, and the slip is what has to be mended. */
function misspelledAs(missing: z.core.$ZodIssue, issues: readonly z.core.$ZodIssue[]): RouterError | null {
  const parent = missing.path.slice(0, -1);
  const name = missing.path.at(-1);
  for (const issue of issues) {
    if (issue.code !== "unrecognized_keys" || issue.path.length !== parent.length) continue;
    if (issue.path.some((part, at) => part !== parent[at])) continue;
    const key = issue.keys.slice(0, MAX_COMPARED).find((each) => knownAs(issue, each) === name);
    if (key !== undefined) return unknownField(issue, key);
  }
  return null;
}

function unknownField(issue: z.core.$ZodIssueUnrecognizedKeys, key: string): RouterError {
  const param = pathOf([...issue.path, key]);
  const near = knownAs(issue, key);
  const remedy = near === null ? "Remove it." : `The nearest known field is \`${near}\`.`;
  return new RouterError("invalid_request", `\`${param}\` is not a known field. ${remedy}`, { param });
}

/** The known member that `key` most likely is: it begins like it, or at most a third of the letters differ. */
function knownAs({ message }: z.core.$ZodIssueUnrecognizedKeys, key: string): string | null {
  if (key.length > MAX_NAME) return null;
  const known = message.split(" ");
  const longer = key.length < MIN_BEGINNING ? undefined : known.find((name) => name.startsWith(key.toLowerCase()));
  if (longer !== undefined) return longer;
  const near = nearest(key, known);
  // Two letters that have changed places are two differences.
  const most = Math.max(key.length < MIN_BEGINNING ? 1 : 2, key.length / 3);
  return near !== null && editDistance(key.toLowerCase(), near) <= most ? near : null;
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
    case "unrecognized_keys":
      return knownNames(issue.inst);
    default:
      return "is not valid";
  }
};

/** Names of the members that an object's schema knows, for `knownAs`. There may be thousands of faults, so each once. */
function knownNames(schema: z.core.$ZodType | z.core.$ZodCheck | undefined): string {
  const def = schema?._zod.def;
  if (def === undefined || !("shape" in def)) return "";
  const shape = def.shape as object;
  const names = KNOWN.get(shape) ?? Object.keys(shape).join(" ");
  KNOWN.set(shape, names);
  return names;
}
const KNOWN = new WeakMap<object, string>();

/** `be at least 1` for numbers, `have at least 1 item` for what is counted. */
function size(origin: string, comparison: string, limit: number | bigint): string {
  const counted = origin === "string" ? "character" : origin === "array" ? "item" : "";
  if (counted === "") return `be ${comparison} ${limit}`;
  return `have ${comparison} ${limit} ${counted}${Number(limit) === 1 ? "" : "s"}`;
}

/** Pass to every `safeParse` whose fault is shown. Without `reportInput` an absent field looks like one of a wrong type. */
export const EXPLAINED = { error: explain, reportInput: true } as const;
