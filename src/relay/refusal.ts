/** What becomes of a request that was refused before it reached a route: a light trace, or at most a line in the log. */
import type { Env } from "../config.ts";
import type { RouterError } from "../http/errors.ts";
import { logRefusal } from "../http/refusal-log.ts";
import { refuseSoon } from "../ledger/client/refusals.ts";
import { leavesTrace, refusedTrace } from "../traces/refused.ts";
import type { Trace } from "../traces/schema.ts";

/** As far as it is known. */
export interface RefusedRequest {
  readonly traceId: string;
  /** Epoch ms. */
  readonly receivedAt: number;
  /** `null`: no key was recognised. */
  readonly keyId: string | null;
  readonly env?: string | null;
  readonly app?: string | null;
  /** The model that was asked for, where it may be shown. */
  readonly route?: string | null;
  readonly stream?: boolean;
  /** The door it came in by. */
  readonly api?: Trace["api"];
  readonly clientRequestId?: string | null;
}

/** Never throws. Refusals count in no evidence, success rate or spend. */
export function reportRefusal(
  env: Pick<Env, "KEY_LEDGER">,
  request: RefusedRequest,
  error: RouterError,
  waitUntil: (work: Promise<unknown>) => void,
): void {
  const now = Date.now();
  const { traceId, receivedAt, keyId } = request;
  if (keyId === null || !leavesTrace(error.status)) {
    logRefusal(error, traceId, now);
    return;
  }
  const toRow = () => {
    const trace = refusedTrace({
      ...{ id: traceId, receivedAt, endedAt: now, keyId, env: request.env ?? "", app: request.app ?? "" },
      ...{ route: request.route ?? "", stream: request.stream ?? false, api: request.api },
      ...{ httpStatus: error.status, errorCode: error.code, clientRequestId: request.clientRequestId ?? null },
    });
    return { id: traceId, route: trace.route, trace: JSON.stringify(trace) };
  };
  refuseSoon(env.KEY_LEDGER, keyId, toRow, now, waitUntil);
}
