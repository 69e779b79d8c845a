/**
 * The console's session: who signed in, until when, signed by the deployment.
 *
 * Nothing is stored: a session is a signed text in a cookie. It ends with its time, when the operator's token is changed
 * or taken out of the configuration, and when the pepper is. The role is that of the configuration now, not that of the
 * cookie, so that taking a role away does not wait for twelve hours.
 */
import { tryParseJson } from "../lib/json.ts";
import { toHex } from "./hash.ts";
import type { Operator } from "./operators.ts";

/** How long a session lasts, milliseconds. */
export const SESSION_MS = 12 * 60 * 60 * 1000;
const MAX_COOKIE_LENGTH = 4096;
const INFO = "console-session";

const encoder = new TextEncoder();
let derived: { readonly pepper: string; readonly key: CryptoKey } | undefined;

/** HKDF-SHA-256 of the pepper: a key of its own, so that no other signature under the pepper is a session. */
async function keyOf(pepper: string): Promise<CryptoKey> {
  if (derived?.pepper === pepper) return derived.key;
  const secret = await crypto.subtle.importKey("raw", encoder.encode(pepper), "HKDF", false, ["deriveKey"]);
  const key = await crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode(INFO) },
    secret,
    { name: "HMAC", hash: "SHA-256", length: 256 },
    false,
    ["sign", "verify"],
  );
  derived = { pepper, key };
  return key;
}

async function digestOf(key: CryptoKey, token: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`token ${token}`))));
}

/** The cookie's value for a session of `operator` until `expiresAt` (epoch ms). `pepper` is not empty. */
export async function signSession(pepper: string, operator: Operator, expiresAt: number): Promise<string> {
  const key = await keyOf(pepper);
  const { name, role, token } = operator;
  const text = JSON.stringify({ name, role, expires: expiresAt, digest: await digestOf(key, token) });
  const body = encoder.encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(body)));
  return `${body}.${signature.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

interface Said {
  readonly name: string;
  readonly expires: number;
  readonly digest: string;
}

function saidBy(body: string): Said | null {
  try {
    const text = new TextDecoder().decode(Uint8Array.fromBase64(body, { alphabet: "base64url" }));
    const said = tryParseJson(text);
    if (typeof said !== "object" || said === null) return null;
    const { name, expires, digest } = said as Readonly<Record<string, unknown>>;
    const isWhole = typeof name === "string" && typeof expires === "number" && typeof digest === "string";
    return isWhole ? { name, expires, digest } : null;
  } catch {
    return null;
  }
}

/** The operator whose session `cookie` is at `now` (epoch ms); `null` for any other text. */
export async function holderOfSession(
  pepper: string,
  cookie: string,
  operators: readonly Operator[],
  now: number,
): Promise<Operator | null> {
  const [body = "", signature = "", more] = cookie.split(".");
  if (pepper === "" || cookie.length > MAX_COOKIE_LENGTH || more !== undefined) return null;
  const key = await keyOf(pepper);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(signature, { alphabet: "base64url" });
  } catch {
    return null;
  }
  if (!(await crypto.subtle.verify("HMAC", key, bytes, encoder.encode(body)))) return null;
  const said = saidBy(body);
  if (said === null || said.expires <= now) return null;
  const operator = operators.find(({ name }) => name === said.name);
  if (operator === undefined) return null;
  return (await digestOf(key, operator.token)) === said.digest ? operator : null;
}
