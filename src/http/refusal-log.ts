/** Refusals that leave no trace, because no key was recognised: one log line a second and code. */
import { log } from "../lib/log.ts";
import { Pace } from "../lib/time/pace.ts";
import type { RouterError } from "./errors.ts";

const pace = new Pace(1_000);

export function logRefusal({ code, status }: RouterError, traceId: string, now: number): void {
  if (pace.allows(code, now)) log({ event: "refused", error_code: code, http_status: status, trace_id: traceId });
}
