/** Digests of secrets. The pepper is the deployment's `FLOW_KEY_PEPPER`; an empty one is refused, never used. */

const encoder = new TextEncoder();

/** The pepper in force, and the one before while keys move. */
const MAX_IMPORTED = 2;
const imported = new Map<string, CryptoKey>();

/** HMAC-SHA-256 of `text` under `pepper`. Rejects on an empty pepper. */
export async function hmac(pepper: string, text: string): Promise<Uint8Array> {
  const known = imported.get(pepper);
  const raw = encoder.encode(pepper);
  const key = known ?? (await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]));
  if (known === undefined) {
    if (imported.size >= MAX_IMPORTED) imported.clear();
    imported.set(pepper, key);
  }
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

/** Names a pepper without showing anything of it: 8 hex digits. */
export async function pepperId(pepper: string): Promise<string> {
  return toHex(await hmac(pepper, "pepper id")).slice(0, 8);
}

export async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

export function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** Compares without a hint of where two texts differ: both are hashed first, so lengths do not show either. */
export async function equalSecrets(left: string, right: string): Promise<boolean> {
  const [a, b] = await Promise.all([sha256(left), sha256(right)]);
  return crypto.subtle.timingSafeEqual(a, b);
}
