/** A fault of our own. */
import { log } from "../lib/log.ts";
import { RouterError } from "./errors.ts";

/**
 * Logs an error that no code expected and makes what the client receives: 500 `internal_error`. The text of the error
 * may hold anything, so only its name is logged and none of it is sent.
 */
export function unexpectedFault(error: unknown, traceId: string): RouterError {
  log({ event: "unexpected_error", trace_id: traceId, name: error instanceof Error ? error.name : typeof error });
  return new RouterError("internal_error", "Internal error. Quote the trace id when reporting it.");
}
