/**
 * The control plane as the command calls it. The token travels in one header to one host and is in no message; a
 * redirect is an error, because it would take the token elsewhere.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { Host } from "./hosts.ts";
import { CommandError, EXIT_BLOCKED, EXIT_ERROR, type Terminal } from "./terminal.ts";
import { safe } from "./text.ts";

export type Json = Readonly<Record<string, unknown>>;

const REQUEST_TIMEOUT_MS = 60_000;
const PAGE_SIZE = 1_000;
const BLOCKED: readonly unknown[] = ["promotion_blocked", "promotion_required"];
const WRONG_ADDRESS = "Is the Flow Layer at this address?";

/** What the host's advice means for this command, by the code of the error. */
const ADVICE: Readonly<Record<string, string>> = {
  promotion_blocked: " In this command: --force <reason>.",
  unknown_environment: " In this command: --new-env.",
};

const NO_ROUTE = "No such route or version.";
const LISTED = " In this command: routes list, routes versions <env/route>.";

/** What the host refused. `code` and `details` are those of its error. */
export class RefusedError extends CommandError {
  override readonly name = "RefusedError";
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
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Client {
  readonly origin: string;
  /** The answer's JSON object; an empty one where there is no body. Throws `RefusedError`, and `CommandError` without an answer. */
  call(method: string, path: string, call?: Call): Promise<Json>;
  /** The answer as it came, whatever its status. Throws `CommandError` without an answer. */
  send(method: string, path: string, call?: Call): Promise<Response>;
}

/** With the admin token. Throws where there is none. */
export function createClient(terminal: Terminal, host: Host): Client {
  if (host.token === "") {
    const { origin } = host.base;
    throw new CommandError(`There is no admin token for ${origin}. Set FLOW_ADMIN_TOKEN, or run \`flow-layer login\`.`);
  }
  return clientWith(terminal, host.base, host.token, "[admin token]");
}

/** With an API key. Throws where there is none. */
export function createKeyClient(terminal: Terminal, host: Host): Client {
  if (host.apiKey !== "") return clientWith(terminal, host.base, host.apiKey, "[API key]");
  throw noApiKey(host);
}

export const noApiKey = ({ base }: Host): CommandError =>
  new CommandError(
    `There is no API key for ${base.origin}. Make one with \`flow-layer keys create\`, then set FLOW_LAYER_API_KEY or run \`flow-layer login --api-key\`.`,
  );

/** Without any credential. */
export const createOpenClient = (terminal: Terminal, host: Host): Client => clientWith(terminal, host.base, "", "");

export function clientWith(terminal: Terminal, base: URL, token: string, hidden: string): Client {
  async function send(method: string, path: string, { body, ifMatch, headers }: Call = {}): Promise<Response> {
    const init: RequestInit = {
      method,
      headers: {
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(ifMatch === undefined ? {} : { "if-match": `"${ifMatch}"` }),
        ...headers,
      },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      redirect: "manual",
      ...(body === undefined ? {} : { body }),
    };
    try {
      return await terminal.fetch(`${base.origin}${base.pathname.replace(/\/+$/, "")}${path}`, init);
    } catch (error) {
      throw noAnswer(base, method, error);
    }
  }
  return {
    origin: base.origin,
    send,
    async call(method, path, call) {
      const response = await send(method, path, call);
      const text = await response.text().catch((error: unknown) => {
        throw noAnswer(base, method, error);
      });
      const value = tryParseJson(text);
      if (response.ok && text === "") return {};
      if (response.ok && isJsonObject(value)) return value;
      throw refused(base.origin, response.status, value, token, hidden);
    },
  };
}

function noAnswer(base: URL, method: string, error: unknown): CommandError {
  // The cause names the fault of the connection. It never holds a header.
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const reason = cause instanceof Error ? cause.message : "no connection";
  const unsure = method === "GET" ? "" : " The change may or may not be made.";
  return new CommandError(`${base.origin} does not answer: ${safe(reason)}.${unsure}`);
}

export function refused(origin: string, status: number, value: unknown, token: string, hidden: string): CommandError {
  const error = isJsonObject(value) && isJsonObject(value["error"]) ? value["error"] : null;
  if (error === null) return new CommandError(`${origin} answered ${status} without saying why. ${WRONG_ADDRESS}`);
  const { code, message } = error;
  // A host that repeats the token, as no host of ours does, must not bring it into a build log.
  const text = safe(String(message));
  const said = token === "" ? text : text.replaceAll(token, hidden);
  const advice = Object.hasOwn(ADVICE, String(code)) ? ADVICE[String(code)] : text.startsWith(NO_ROUTE) ? LISTED : "";
  return new RefusedError(`${said}${advice} (${status} ${safe(String(code))})`, status, error);
}

export interface Page {
  readonly rows: readonly Json[];
  readonly cursor: string | null;
}

/** One page of a list. Throws where the answer is no list: another program answers at this address. */
export async function listPage(client: Client, path: string, query: URLSearchParams): Promise<Page> {
  const page = await client.call("GET", query.size === 0 ? path : `${path}?${query}`);
  const { data, next_cursor: cursor } = page;
  if (!Array.isArray(data)) {
    throw new CommandError(`The answer of ${client.origin} is no list. ${WRONG_ADDRESS}`);
  }
  return { rows: data.filter(isJsonObject), cursor: typeof cursor === "string" ? cursor : null };
}

/** All of a list, page by page. */
export async function listAll(client: Client, path: string, filters: Iterable<readonly [string, string]> = []) {
  const found: Json[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams([...filters].map(([name, value]) => [name, value]));
    query.set("limit", String(PAGE_SIZE));
    if (cursor !== null) query.set("cursor", cursor);
    const page: Page = await listPage(client, path, query);
    found.push(...page.rows);
    cursor = page.cursor;
  } while (cursor !== null);
  return found;
}

/** The one shape of every list that `--json` prints. */
export const listBody = (data: readonly Json[], cursor: string | null = null) => ({
  object: "list",
  data,
  has_more: cursor !== null,
  next_cursor: cursor,
});

/** The objects of a list answer. */
export function rowsOf(page: Json): Json[] {
  const { data } = page;
  return Array.isArray(data) ? data.filter(isJsonObject) : [];
}
