/**
 * Who is calling: the bearer key, and the headers that say on whose behalf.
 *
 * Three steps, because the contract checks content type and declared size before the record is read: `bearerToken` needs
 * no I/O, `recogniseKey` reads the record, `identify` looks at headers. Nothing of a header is used or reflected before it matches its pattern.
 */
import { invalidKey, RouterError } from "../http/errors.ts";
import type { KeyRecord, Scope } from "../keys/record.ts";
import { findKey, type KeySources, type verifyToken } from "../keys/store.ts";
import { RESOURCE_NAME } from "../lib/text/name-patterns.ts";
import { type Known, readControlHeaders } from "./authenticate-controls.ts";
import type { Caller } from "./types.ts";

type VerifiedToken = NonNullable<Awaited<ReturnType<typeof verifyToken>>>;

// The scheme is case-insensitive (RFC 9110 §11.1). Two merged headers contain a comma and match nothing here.
const BEARER = /^bearer +([!-~]{1,512})$/i;

/** A key of ours without a scheme in front of it: the commonest way to send one wrongly. */
const BARE_KEY = /^fl_[!-~]{1,512}$/;
const OWN_BEARER = /^bearer +fl_/i;

/** Where Azure's clients come in. */
const AZURE_PATH = /^https?:\/\/[^/]+\/openai\//;

/**
 * The token of the `Authorization` header, or of `api-key` on the paths of Azure's clients. Throws 401 when there is
 * none, or none of a form we could have issued.
 */
export function bearerToken({ headers, url }: Pick<Request, "headers" | "url">): string {
  const header = headers.get("authorization");
  const sent = headers.get("api-key")?.trim() ?? "";
  const named = sent !== "" && AZURE_PATH.test(url) ? sent : "";
  if (named !== "" && (header === null || (BARE_KEY.test(named) && !OWN_BEARER.test(header)))) return named;
  if (header === null || header.trim() === "" || /^bearer\s*$/i.test(header)) {
    throw new RouterError("missing_api_key", "No API key was sent. Send the header `Authorization: Bearer <key>`.");
  }
  const token = BEARER.exec(header)?.[1];
  if (token !== undefined) return token;
  if (!BARE_KEY.test(header)) throw invalidKey();
  const message = "The `Authorization` header has a key without the word `Bearer` before it. Send `Bearer <key>`.";
  throw new RouterError("missing_api_key", message);
}

/**
 * The record of the key behind a verified token. Throws 401 for a key that is unknown, expired, revoked or has another
 * secret, and 503 `policy_unavailable` when the record cannot be read.
 */
export async function recogniseKey(
  token: VerifiedToken,
  sources: KeySources,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<KeyRecord> {
  const key = await findKey(sources, token, now, waitUntil).catch(() => {
    throw new RouterError("policy_unavailable", "API keys cannot be checked at the moment. Try again shortly.");
  });
  if (key === null) throw invalidKey();
  return key;
}

/** On whose behalf a request with `key` comes, from its headers. Throws 403 or 400. */
export function identify(key: KeyRecord, request: Request): Caller {
  const { headers } = request;
  // From here on the environment is known, and every answer says it.
  const known = { "x-flowlayer-env": key.env };
  refuseBrowser(request, known);
  const env = headers.get("x-flowlayer-env");
  if (env !== null && env !== key.env) {
    const message = `This API key belongs to the environment \`${key.env}\`. Leave \`X-FlowLayer-Env\` out or use a key of the environment that it names.`;
    throw new RouterError("env_mismatch", message, { param: "X-FlowLayer-Env", headers: known });
  }
  return {
    key,
    app: resolveApp(headers.get("x-flowlayer-app"), key, known),
    headerControls: readControlHeaders(headers, known),
    clientRequestId: printable(headers.get("x-client-request-id")),
    sessionId: sessionId(headers),
    agentId: printable(headers.get("x-claude-code-agent-id")),
  };
}

/**
 * A page of another site must not hold a key. `Origin: null` and origins of other schemes are desktop apps, and so is
 * `Sec-Fetch-Site`, which Electron sends.
 */
function refuseBrowser({ headers, url }: Request, known: Known): void {
  const origin = headers.get("origin");
  if (origin === null || !/^https?:/i.test(origin) || originOf(origin) === new URL(url).origin) return;
  const message =
    "API keys are for servers, and this request comes from a web page. Call The Flow Layer from your backend.";
  throw new RouterError("browser_request", message, { headers: known });
}

function originOf(address: string): string | null {
  return URL.canParse(address) ? new URL(address).origin : null;
}

/** Throws 403 `scope_required` unless the key has `scope`. */
export function requireScope(key: KeyRecord, scope: Scope): void {
  if (!key.scopes.includes(scope)) {
    throw new RouterError("scope_required", `This API key lacks the scope \`${scope}\`. Use a key that has it.`);
  }
}

function resolveApp(header: string | null, key: KeyRecord, known: Known): string {
  if (header === null) return key.apps?.[0] ?? "default";
  if (!RESOURCE_NAME.test(header)) {
    const rule = "1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, a letter or digit first";
    throw new RouterError("invalid_header", `\`X-FlowLayer-App\` must be ${rule}.`, {
      param: "X-FlowLayer-App",
      headers: known,
    });
  }
  if (key.apps !== null && !key.apps.includes(header)) {
    throw new RouterError("app_not_allowed", "This API key does not serve the app named in `X-FlowLayer-App`.", {
      param: "X-FlowLayer-App",
      headers: known,
    });
  }
  return header;
}

const MAX_ID_LENGTH = 128;

/** An id that is only ever shown back, so it fails no request: what cannot be printed is left out, and the rest is cut. */
function printable(value: string | null): string | null {
  const text = (value ?? "").replace(/[^\x20-\x7e]/g, "");
  return text === "" ? null : text.slice(0, MAX_ID_LENGTH);
}

/** Names of a conversation in the order in which they count; the later ones are those of Claude Code and Codex. */
const SESSION_HEADERS = ["x-session-id", "x-claude-code-session-id", "session_id", "session-id"];
const MAX_SESSION_ID_LENGTH = 256;

function sessionId(headers: Headers): string | null {
  for (const name of SESSION_HEADERS) {
    const value = headers.get(name);
    if (value !== null && value !== "") return value.slice(0, MAX_SESSION_ID_LENGTH);
  }
  return null;
}
