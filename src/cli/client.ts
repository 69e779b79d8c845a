/**
 * The control plane as the command calls it. The token travels in one header to one host and is in no message; a
 * redirect is an error, because it would take the token elsewhere.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { CommandError, EXIT_BLOCKED, EXIT_ERROR, safe, type Terminal } from "./terminal.ts";

export type Json = Readonly<Record<string, unknown>>;

const REQUEST_TIMEOUT_MS = 60_000;
const PAGE_SIZE = 1_000;
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"];
const BLOCKED: readonly unknown[] = ["promotion_blocked", "promotion_required"];

/** What the host refused. `code` and `details` are those of its error. */
export class RefusedError extends CommandError {
  readonly status: number;
  readonly details: Json;

  constructor(message: string, status: number, details: Json) {
    super(message, BLOCKED.includes(details["code"]) ? EXIT_BLOCKED : EXIT_ERROR);
    this.status = status;
    this.details = details;
  }
}

export interface Call {
  /** JSON text. */
  readonly body?: string;
  readonly ifMatch?: string;
}

export interface Client {
  readonly origin: string;
  /** The answer's JSON object; an empty one where there is no body. Throws `RefusedError`, and `CommandError` without an answer. */
  call(method: string, path: string, call?: Call): Promise<Json>;
}

/** Throws where the address or the token is missing or would not be safe to use. */
export function createClient(terminal: Terminal, address: string | undefined): Client {
  const token = terminal.variables["FLOW_ADMIN_TOKEN"]?.trim() ?? "";
  const base = baseOf(address ?? terminal.variables["FLOW_LAYER_URL"] ?? "");
  if (token === "") throw new CommandError("Set FLOW_ADMIN_TOKEN to the admin token of the host.");
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new CommandError("FLOW_ADMIN_TOKEN has characters that no header can carry.");
  return {
    origin: base.origin,
    async call(method, path, { body, ifMatch } = {}) {
      const headers = {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(ifMatch === undefined ? {} : { "if-match": `"${ifMatch}"` }),
      };
      const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
      const init: RequestInit = {
        method,
        headers,
        signal,
        redirect: "manual",
        ...(body === undefined ? {} : { body }),
      };
      const { response, text } = await answerOf(terminal, base, path, init);
      const value = tryParseJson(text);
      if (response.ok && text === "") return {};
      if (response.ok && isJsonObject(value)) return value;
      throw refused(base.origin, response.status, value, token);
    },
  };
}

async function answerOf(terminal: Terminal, base: URL, path: string, init: RequestInit) {
  try {
    const response = await terminal.fetch(`${base.origin}${base.pathname.replace(/\/+$/, "")}${path}`, init);
    return { response, text: await response.text() };
  } catch (error) {
    // The cause names the fault of the connection. It never holds a header.
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const reason = cause instanceof Error ? cause.message : "no connection";
    throw new CommandError(`${base.origin} does not answer: ${safe(reason)}. The change may or may not be made.`);
  }
}

function baseOf(text: string): URL {
  if (text === "") throw new CommandError("Say which host: set FLOW_LAYER_URL, or use --url https://…");
  if (!URL.canParse(text))
    throw new CommandError("The address of the host must be a URL such as https://flow.example.com.");
  const url = new URL(text);
  const isLocal = LOCAL_HOSTS.includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal)) {
    throw new CommandError(
      "The address must be https: the admin token would travel in the clear. Only localhost may be http.",
    );
  }
  if (url.username !== "" || url.password !== "")
    throw new CommandError("The address of the host must not hold a password.");
  return url;
}

function refused(origin: string, status: number, value: unknown, token: string): CommandError {
  const error = isJsonObject(value) && isJsonObject(value["error"]) ? value["error"] : null;
  if (error === null) {
    return new CommandError(`${origin} answered ${status} without saying why. Is the Flow Layer at this address?`);
  }
  const { code, message } = error;
  // A host that repeats the token, as no host of ours does, must not bring it into a build log.
  const said = safe(String(message)).replaceAll(token, "[admin token]");
  return new RefusedError(`${said} (${status} ${safe(String(code))})`, status, error);
}

/** All of a list, page by page. */
export async function listAll(client: Client, path: string): Promise<Json[]> {
  const found: Json[] = [];
  let cursor: unknown = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(typeof cursor === "string" ? { cursor } : {}) });
    const page = await client.call("GET", `${path}?${query}`);
    found.push(...rowsOf(page));
    cursor = page["next_cursor"];
  } while (typeof cursor === "string");
  return found;
}

/** The objects of a list answer. */
export function rowsOf(page: Json): Json[] {
  const { data } = page;
  return Array.isArray(data) ? data.filter(isJsonObject) : [];
}
