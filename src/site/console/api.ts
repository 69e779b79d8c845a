/**
 * Calls of the control plane from the console.
 *
 * The session is a cookie that no script can read. `X-FlowLayer-Console` says that the call comes from this page: without
 * it, and from any other origin, `/admin` does not look at the cookie.
 */

import type { Json, JsonObject } from "./json.ts";

export type { Json, JsonObject };

/** An answer that is no success, in the contract's error shape. `status` 0: no answer came. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** Path of what is wrong with a body, where the answer names one. */
  readonly param: string | null;
  readonly detail: JsonObject;

  constructor(status: number, detail: JsonObject) {
    super(text(detail["message"]) || `The deployment answered ${status}.`);
    this.status = status;
    this.code = text(detail["code"]);
    this.param = text(detail["param"]) || null;
    this.detail = detail;
  }
}

/** The control plane answers in well under a second; an answer that is later than this is not waited for. */
const LATEST_MS = 30_000;

/** Fired on `window` when an answer says that the session has ended. */
export const SESSION_ENDED = "flow-layer-session-ended";
/** Fired on `window` when somebody has signed in again: what was refused meanwhile is read again. */
export const SESSION_BACK = "flow-layer-session-back";

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The error of a refused answer; a body that is no JSON is named by its status. */
async function errorOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const error = isObject(body) && isObject(body["error"]) ? body["error"] : {};
  return new ApiError(response.status, error);
}

export interface CallInit {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** The answer as it came. Rejects with `ApiError` unless its status is below 400. */
export async function send(path: string, init: CallInit = {}): Promise<Response> {
  const { body, method = body === undefined ? "GET" : "POST", headers, signal } = init;
  const late = AbortSignal.timeout(LATEST_MS);
  const response = await fetch(path, {
    method,
    headers: {
      accept: "application/json",
      "x-flowlayer-console": "1",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    // A streamed answer takes as long as it takes; the one who asked for it ends it.
    signal: signal ?? late,
  }).catch((error: unknown) => {
    if (signal?.aborted === true) throw error;
    if (late.aborted) {
      throw new ApiError(0, {
        message: `The deployment did not answer within ${LATEST_MS / 1000} s. Nothing that you typed is lost; try again.`,
      });
    }
    throw new ApiError(0, {
      message: "The deployment did not answer. Check the connection; nothing that you typed is lost.",
    });
  });
  if (response.ok) return response;
  const error = await errorOf(response);
  if (error.status !== 401 || path === "/console/session") throw error;
  dispatchEvent(new Event(SESSION_ENDED));
  // What the deployment says is for programs, which send a token.
  throw new ApiError(401, { code: "session_ended", message: "Your session has ended. Sign in again to go on." });
}

export async function call<T>(path: string, init: CallInit = {}): Promise<T> {
  const response = await send(path, init);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** `path?name=value`, without what is absent or empty. */
export function withQuery(path: string, query: Readonly<Record<string, string | number | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const asked = parameters.toString();
  return asked === "" ? path : `${path}?${asked}`;
}

export interface List<T> {
  readonly data: readonly T[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
  readonly as_of?: string;
}

/** What a page shows where there is nothing to ask for. */
export const EMPTY_LIST: List<never> = { data: [], has_more: false, next_cursor: null };
