/** Bodies that are read by a strict schema: those of every endpoint but the model requests. */
import type * as z from "zod/mini";
import { hasMoreValues, scanJson } from "../lib/json.ts";
import { Deadlines } from "../lib/time/deadline.ts";
import { MAX_DEPTH, OpenBody } from "./body.ts";
import { RouterError } from "./errors.ts";
import { EXPLAINED, invalidField, parseBody } from "./validation-errors.ts";

/** Elements and members together: each may take many times its text in memory, and time to compare its key. */
const MAX_VALUES = 50_000;

/** The part of Hono's context that is read here. */
interface BodyContext {
  readonly req: { readonly raw: Request };
  get(name: "receivedAt"): number;
}

/** The request's JSON body as `schema` gives it back. Throws 415, 413, 503 or 400 that names the fault. */
export async function readJson<Schema extends z.ZodMiniType>(
  c: BodyContext,
  schema: Schema,
  maxBytes: number,
): Promise<z.infer<Schema>> {
  return readOpened(new OpenBody(c.req.raw, c.get("receivedAt"), maxBytes), schema);
}

/** The same for a body whose head was checked before. */
export async function readOpened<Schema extends z.ZodMiniType>(
  body: OpenBody,
  schema: Schema,
): Promise<z.infer<Schema>> {
  const deadlines = new Deadlines();
  try {
    return check(await body.read(deadlines), schema);
  } finally {
    body.release();
    deadlines.stop();
  }
}

/** The same where every member may be left out: no body at all is an empty one. */
export async function readOptionalJson<Schema extends z.ZodMiniType>(
  c: BodyContext,
  schema: Schema,
  maxBytes: number,
): Promise<z.infer<Schema>> {
  const { body, headers } = c.req.raw;
  const isEmpty = body === null || headers.get("content-length") === "0";
  return isEmpty ? schema.parse({}) : readJson(c, schema, maxBytes);
}

function check<Schema extends z.ZodMiniType>(text: string, schema: Schema): z.infer<Schema> {
  if (hasMoreValues(text, MAX_VALUES)) {
    throw new RouterError("invalid_request", `The request body has more than ${MAX_VALUES} values.`);
  }
  const value = parseBody(text);
  if (scanJson(text).depth > MAX_DEPTH) {
    throw new RouterError("invalid_request", `The request body is nested deeper than ${MAX_DEPTH} levels.`);
  }
  const parsed = schema.safeParse(value, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  return parsed.data;
}
