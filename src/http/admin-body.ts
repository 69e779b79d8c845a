/**
 * What admin endpoints read from a request, and the list shape they answer with.
 *
 * A body is counted while it is read, because a declared length is only a claim. Nesting is bounded before anything
 * walks the value: a value nested deeper could not cross to the control plane.
 */
import type { Context } from "hono";
import type * as z from "zod/mini";
import type { AdminEnv } from "../admin/authorize.ts";
import type { Page } from "../control/types.ts";
import { scanJson } from "../lib/json.ts";
import { MAX_DEPTH } from "../wires/openai-chat/request-fields.ts";
import { RouterError } from "./errors.ts";
import { type ListShape, toList } from "./pagination.ts";
import { EXPLAINED, invalidField, notJson, parseBody } from "./validation-errors.ts";

const MAX_BODY_BYTES = 1_048_576;
/** Up to here a body that is too large is read to its end and dropped: a client cut off while it sends sees no answer. */
const MAX_READ_BYTES = 4 * MAX_BODY_BYTES;
const JSON_TYPE = /^application\/json *(;|$)/i;

/** The request's JSON body as `schema` gives it back. Throws 415, 413 or 400 that names the fault. */
export async function readBody<Schema extends z.ZodMiniType>(
  c: Context<AdminEnv>,
  schema: Schema,
): Promise<z.infer<Schema>> {
  if (!JSON_TYPE.test(c.req.header("content-type") ?? "")) {
    throw new RouterError("unsupported_media_type", "Send the body as `Content-Type: application/json`.");
  }
  const text = await readText(c.req.raw);
  const value = parseBody(text);
  if (scanJson(text).depth > MAX_DEPTH) {
    throw new RouterError("invalid_request", `The request body is nested deeper than ${MAX_DEPTH} levels.`);
  }
  const parsed = schema.safeParse(value, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues[0]);
  return parsed.data;
}

/** The same where every member may be left out: no body at all is an empty one. */
export async function readOptionalBody<Schema extends z.ZodMiniType>(
  c: Context<AdminEnv>,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const isEmpty = c.req.raw.body === null || c.req.header("content-length") === "0";
  return isEmpty ? schema.parse({}) : readBody(c, schema);
}

async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) break;
    byteCount += chunk.value.length;
    if (byteCount <= MAX_BODY_BYTES) chunks.push(chunk.value);
    if (byteCount > MAX_READ_BYTES) {
      await reader?.cancel();
      break;
    }
  }
  if (byteCount > MAX_BODY_BYTES) throw tooLarge();
  try {
    // The BOM is kept, so that it is refused like everywhere else.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await new Blob(chunks).arrayBuffer());
  } catch {
    throw notJson();
  }
}

const tooLarge = (): RouterError =>
  new RouterError("request_too_large", `The request body is larger than ${MAX_BODY_BYTES} bytes.`);

/** A page of the control plane in the contract's list shape. */
export function listBody<T, Out>(page: Page<T>, show: (item: T) => Out): ListShape<Out> {
  return toList(page.data.map(show), page.nextCursor === null ? null : String(page.nextCursor));
}
