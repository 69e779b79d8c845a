/** A fault of our own. */
import { log } from "../lib/log.ts";
import { RouterError } from "./errors.ts";

/** Logs an error nobody expected and gives what the client is told. Its text may hold anything: only its kind is used. */
export function unexpectedFault(error: unknown, traceId: string): RouterError {
  log({ event: "unexpected_error", trace_id: traceId, name: error instanceof Error ? error.name : typeof error });
  return new RouterError("upstream_failed", "The router could not handle this request. Try again.");
}
