/**
 * From a bearer token to a live key record: isolate cache, then KV.
 *
 * Verified tokens are remembered whole (never a prefix: two keys must not meet), so a warm request costs a look-up and
 * no digest: a call of the runtime's cryptography took 8 % of a request. What is remembered was verified under the
 * pepper in force and is forgotten with it. KV is a near copy up to a minute old; the record an isolate holds serves for
 * at most five minutes while KV cannot be read.
 */
import { IsolateCache } from "../lib/isolate-cache.ts";
import { parseStored } from "../lib/stored.ts";
import { hashSecret, hasValidTail, type ParsedKey, parseKey } from "./format.ts";
import { KeyRecord, keyRecordKey } from "./record.ts";

/** KV's own floor for `cacheTtl`, seconds. */
const KV_CACHE_SECONDS = 30;
const MAX_KEYS = 5_000;

const records = new IsolateCache<KeyRecord>({
  maxEntries: MAX_KEYS,
  freshMs: 5_000,
  staleMs: 25_000,
  keepMs: 5 * 60_000,
});

interface VerifiedToken {
  readonly key: ParsedKey;
  readonly secretHash: string;
}
/** By token, each verified under `verifiedUnder`. */
const verifiedTokens = new Map<string, VerifiedToken>();
let verifiedUnder = "";

/** The parts of a token whose shape and tail are right, or `null`; without a pepper always `null`. No I/O. */
export async function verifyToken(token: string, pepper: string): Promise<VerifiedToken | null> {
  if (pepper === "") return null;
  if (pepper !== verifiedUnder) verifiedTokens.clear();
  verifiedUnder = pepper;
  const known = verifiedTokens.get(token);
  if (known !== undefined) return known;
  const key = parseKey(token);
  if (key === null || !(await hasValidTail(pepper, key))) return null;
  const verified = { key, secretHash: await hashSecret(pepper, key.secret) };
  if (verifiedTokens.size >= MAX_KEYS) verifiedTokens.clear();
  if (pepper === verifiedUnder) verifiedTokens.set(token, verified);
  return verified;
}

/**
 * The record a verified token opens, or `null` when it is unknown, revoked or expired, or the secret is not its own.
 * Rejects when KV cannot be read and no copy is young enough.
 */
export async function findKey(
  kv: KVNamespace,
  token: VerifiedToken,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<KeyRecord | null> {
  const { id, env } = token.key;
  const read = async (): Promise<KeyRecord | null> => {
    const text = await kv.get(keyRecordKey(id), { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? null : parseStored(KeyRecord, text, keyRecordKey(id));
  };
  const record = await records.get(id, now, read, waitUntil);
  if (record === null || record.status !== "active" || record.env !== env) return null;
  if (isPast(record.expires_at, now)) return null;
  for (const secret of record.secrets) {
    if (equalHashes(secret.hash, token.secretHash) && !isPast(secret.expires_at, now)) return record;
  }
  return null;
}

/** Drops this isolate's copy, so that the isolate which made a change sees it at once. */
export function forgetKey(id: string): void {
  records.delete(id);
}

function isPast(time: string | null, now: number): boolean {
  return time !== null && Date.parse(time) <= now;
}

const encoder = new TextEncoder();

function equalHashes(left: string, right: string): boolean {
  if (left.length !== right.length) return false;
  return crypto.subtle.timingSafeEqual(encoder.encode(left), encoder.encode(right));
}
