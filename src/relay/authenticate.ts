/**
 * Who is calling: the bearer key, and the headers that say on whose behalf.
 *
 * Two steps, because the contract checks content type and declared size between them: `bearerToken` needs no I/O,
 * `identify` reads the key record. Nothing of a header is used or reflected before it matches its pattern.
 */
import { invalidKey, RouterError } from "../http/errors.ts";
import type { KeyRecord, Scope } from "../keys/record.ts";
import { findKey, type verifyToken } from "../keys/store.ts";
import { RESOURCE_NAME } from "../lib/name-patterns.ts";
import { RouteControls } from "../wires/openai-chat/request-fields.ts";
import type { Caller } from "./types.ts";

type VerifiedToken = NonNullable<Awaited<ReturnType<typeof verifyToken>>>;

// The scheme is case-insensitive (RFC 9110 §11.1). Two merged headers contain a comma and match nothing here.
const BEARER = /^bearer +([!-~]{1,512})$/i;

/** The token of the `Authorization` header. Throws 401 when there is none, or none of a form we could have issued. */
export function bearerToken(headers: Headers): string {
  const header = headers.get("authorization");
  if (header === null || header.trim() === "" || /^bearer\s*$/i.test(header)) {
    throw new RouterError("missing_api_key", "No API key was sent. Send the header `Authorization: Bearer <key>`.");
  }
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw invalidKey();
  return token;
}

/** The key's record and the caller's identity headers. Throws 401, 403, 400, or 503 when records cannot be read. */
export async function identify(
  token: VerifiedToken,
  headers: Headers,
  kv: KVNamespace,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<Caller> {
  const key = await findKey(kv, token, now, waitUntil).catch(() => {
    throw new RouterError("ledger_unavailable", "API keys cannot be checked at the moment. Try again shortly.");
  });
  if (key === null) throw invalidKey();
  // From here on the environment is known, and every answer says it.
  const known = { "x-flowlayer-env": key.env };
  // Browsers always send it, server runtimes never do; `Sec-Fetch-Mode` alone comes from Node's fetch.
  if (headers.has("sec-fetch-site")) {
    throw new RouterError("browser_request", "API keys are for servers. Call The Flow Layer from your backend.", {
      headers: known,
    });
  }
  const env = headers.get("x-flowlayer-env");
  if (env !== null && env !== key.env) {
    throw new RouterError("env_mismatch", "`X-FlowLayer-Env` does not name the environment of this API key.", {
      param: "X-FlowLayer-Env",
      headers: known,
    });
  }
  return {
    key,
    app: resolveApp(headers.get("x-flowlayer-app"), key, known),
    headerControls: controlsFrom(headers, known),
    clientRequestId: clientRequestId(headers, known),
    sessionId: headers.get("x-session-id")?.slice(0, 256) ?? null,
  };
}

/** Throws 403 `scope_required` unless the key has `scope`. */
export function requireScope(key: KeyRecord, scope: Scope): void {
  if (!key.scopes.includes(scope)) {
    throw new RouterError("scope_required", `This API key lacks the scope \`${scope}\`. Use a key that has it.`);
  }
}

/** What every refusal says of the caller from here on. */
type Known = Readonly<Record<string, string>>;

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

function clientRequestId(headers: Headers, known: Known): string | null {
  const value = headers.get("x-client-request-id");
  if (value === null || /^[\x20-\x7e]{1,128}$/.test(value)) return value;
  throw new RouterError("invalid_header", "`X-Client-Request-Id` must be at most 128 printable ASCII characters.", {
    param: "X-Client-Request-Id",
    headers: known,
  });
}

const BOOLEAN_TEXT = new Map([
  ["true", true],
  ["false", false],
]);
const numberText = (text: string): number | undefined =>
  /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined;

/** The header mirrors of the route controls: name, member of `route`, how its text reads, what it must be. */
const CONTROL_HEADERS = [
  ["X-FlowLayer-Fallback", "fallback", (text: string) => BOOLEAN_TEXT.get(text), "`true` or `false`"],
  ["X-FlowLayer-Latency-Budget-Ms", "latency_budget_ms", numberText, "a whole number from 1 to 600000"],
  ["X-FlowLayer-Spend-Budget-Usd", "spend_budget_usd", numberText, "a number above 0"],
  [
    "X-FlowLayer-Require-Tool-Approval",
    "require_tool_approval",
    (text: string) => BOOLEAN_TEXT.get(text),
    "`true` or `false`",
  ],
] as const;

function controlsFrom(headers: Headers, known: Known): RouteControls {
  let controls: Record<string, unknown> | undefined;
  for (const [header, member, read, rule] of CONTROL_HEADERS) {
    const text = headers.get(header);
    if (text === null) continue;
    const value = read(text);
    const checked = RouteControls.shape[member].safeParse(value);
    if (value === undefined || !checked.success) {
      throw new RouterError("invalid_header", `\`${header}\` must be ${rule}.`, { param: header, headers: known });
    }
    controls = { ...controls, [member]: value };
  }
  // Every member was checked against the schema's own shape just above.
  return (controls ?? {}) as RouteControls;
}
