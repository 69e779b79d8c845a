/** What the relay needs to know of the public API by which a request came in. */
import type { RouterError } from "../http/errors.ts";
import type { Trace } from "../traces/schema.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import type { DoorWire } from "../wires/wire.ts";

export interface Door {
  /** On traces, in filters and figures. */
  readonly api: NonNullable<Trace["api"]>;
  readonly wire: DoorWire;
  /** The caller's key, out of the headers in which this API carries it. Throws 401. */
  token(headers: Headers): string;
  /** The request as the relay reads it. Throws 400 for what the contract refuses. */
  parse(body: string): ChatRequest;
  /** The same error in this API's shape. */
  errorResponse(
    error: RouterError,
    flow: Readonly<Record<string, unknown>>,
    headers: Readonly<Record<string, string>>,
  ): Response;
  /** What keeps a stream alive while its tool calls wait to be decided. */
  readonly keepAlive: string;
}
