/**
 * What admin endpoints read from a request: JSON bodies and list parameters. And the list shape they answer with.
 *
 * A body is counted while it is read, because a declared length is only a claim. Nesting is bounded before anything
 * walks the value: a value nested deeper could not cross to the control plane.
 */
import type { Context } from "hono";
import type * as z from "zod/mini";
import { RouterError } from "../errors.ts";
import { parseJson, scanJson } from "../lib/json.ts";
import { invalidField, MAX_DEPTH } from "../openai.ts";
import type { AdminEnv } from "./authorize.ts";

const MAX_BODY_BYTES = 1_048_576;
const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;
const JSON_TYPE = /^application\/json *(;|$)/i;
const WHOLE_NUMBER = /^[1-9][0-9]*$/;

/** The request's JSON body as `schema` gives it back. Throws 415, 413 or 400 that names the fault. */
export async function readBody<Schema extends z.ZodMiniType>(
  c: Context<AdminEnv>,
  schema: Schema,
): Promise<z.infer<Schema>> {
  if (!JSON_TYPE.test(c.req.header("content-type") ?? "")) {
    throw new RouterError("unsupported_media_type", "Send the body as `Content-Type: application/json`.");
  }
  const value = parseBody(await readText(c.req.raw));
  // Without reportInput zod forgets the faulty value, and an absent field looks like one of a wrong type.
  const parsed = schema.safeParse(value, { error: explain, reportInput: true });
  if (!parsed.success) throw invalidField(parsed.error.issues[0]);
  return parsed.data;
}

async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) break;
    byteCount += chunk.value.length;
    if (byteCount > MAX_BODY_BYTES) {
      await reader?.cancel();
      throw tooLarge();
    }
    chunks.push(chunk.value);
  }
  try {
    // The BOM is kept, so that it is refused like everywhere else.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await new Blob(chunks).arrayBuffer());
  } catch {
    throw notJson();
  }
}

function parseBody(text: string): unknown {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    throw notJson();
  }
  const { depth, members } = scanJson(text);
  if (depth > MAX_DEPTH) {
    throw new RouterError("invalid_request", `The request body is nested deeper than ${MAX_DEPTH} levels.`);
  }
  const seen = new Set<string>();
  for (const { key } of members) {
    // Of two equal keys one would silently lose, which in a policy is a typo that goes live.
    if (seen.has(key)) {
      const param = key.slice(0, 200);
      throw new RouterError("invalid_request", `\`${param}\` is given twice. Send it once.`, { param });
    }
    seen.add(key);
  }
  return value;
}

const notJson = (): RouterError =>
  new RouterError("invalid_json", "The request body is not valid JSON. Send one JSON object, encoded as UTF-8.");

const tooLarge = (): RouterError =>
  new RouterError("request_too_large", `The request body is larger than ${MAX_BODY_BYTES} bytes.`);

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

export interface ListParameters {
  readonly limit: number;
  readonly before: number | null;
}

/** `limit` (clamped to 1000) and `cursor` of a list call. Throws 400 for anything that is not one of ours. */
export function listParameters(c: Context<AdminEnv>): ListParameters {
  const limit = c.req.query("limit") ?? String(DEFAULT_LIMIT);
  if (!WHOLE_NUMBER.test(limit)) {
    throw new RouterError("invalid_request", "`limit` must be a whole number from 1 to 1000.", { param: "limit" });
  }
  const cursor = c.req.query("cursor");
  if (cursor !== undefined && !(WHOLE_NUMBER.test(cursor) && Number.isSafeInteger(Number(cursor)))) {
    throw new RouterError("invalid_request", "`cursor` must be the `next_cursor` of an earlier answer.", {
      param: "cursor",
    });
  }
  return { limit: Math.min(MAX_LIMIT, Number(limit)), before: cursor === undefined ? null : Number(cursor) };
}

/** The contract's list shape. */
export function listBody<T, Out>(
  page: { readonly data: readonly T[]; readonly nextCursor: number | null },
  show: (item: T) => Out,
) {
  const cursor = page.nextCursor === null ? null : String(page.nextCursor);
  return { object: "list", data: page.data.map(show), has_more: cursor !== null, next_cursor: cursor };
}
