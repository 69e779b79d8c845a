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
import { withTimeout } from "../lib/time/with-timeout.ts";
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
/** By token, each verified under the peppers of `verifiedUnder`. */
const verifiedTokens = new Map<string, VerifiedToken>();
let verifiedUnder = "";

/** The pepper in force, and the one before; empty: there is none. */
export interface Peppers {
  readonly pepper: string;
  readonly previousPepper: string;
}

/** The parts of a token whose shape and tail are right, or `null`; without a pepper always `null`. No I/O. */
export async function verifyToken(token: string, { pepper, previousPepper }: Peppers): Promise<VerifiedToken | null> {
  if (pepper === "") return null;
  const under = `${pepper}\n${previousPepper}`;
  if (under !== verifiedUnder) verifiedTokens.clear();
  verifiedUnder = under;
  const known = verifiedTokens.get(token);
  if (known !== undefined) return known;
  const key = parseKey(token);
  if (key === null) return null;
  const verified = (await verifyUnder(pepper, key)) ?? (await verifyUnder(previousPepper, key));
  if (verified === null) return null;
  if (verifiedTokens.size >= MAX_KEYS) verifiedTokens.clear();
  if (under === verifiedUnder) verifiedTokens.set(token, verified);
  return verified;
}

async function verifyUnder(pepper: string, key: ParsedKey): Promise<VerifiedToken | null> {
  if (pepper === "" || !(await hasValidTail(pepper, key))) return null;
  return { key, secretHash: await hashSecret(pepper, key.secret) };
}

/** Where the truth of a key is: KV is a copy of it. */
interface ControlPlanes {
  getByName(name: string): { readKey(id: string): Promise<KeyRecord | null> };
}

export interface KeySources {
  readonly CONFIG: KVNamespace;
  readonly CONTROL_PLANE: unknown;
}

/** Name of the one control plane of a deployment. */
const CONTROL_NAME = "control";
const TRUTH_LIMIT_MS = 3_000;
/** For so long a token that the truth does not know is not looked for again: it will never be one. */
const UNKNOWN_MS = 30_000;
/** Looks at the truth, of one isolate: a token that was never one of ours causes none. */
const TRUTH_PER_SECOND = 20;
const unknownTokens = new Map<string, number>();
let truthWindow = { second: 0, count: 0 };

/**
 * The record a verified token opens, or `null` when it is unknown, revoked or expired, or the secret is not its own.
 * Rejects when KV cannot be read and no copy is young enough.
 *
 * A secret that the copy does not know may be newer than the copy: its tail says that it is one of ours, so the record is
 * read again from where it was written.
 */
export async function findKey(
  { CONFIG: kv, CONTROL_PLANE }: KeySources,
  token: VerifiedToken,
  now: number,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<KeyRecord | null> {
  const { id } = token.key;
  const read = async (): Promise<KeyRecord | null> => {
    const text = await kv.get(keyRecordKey(id), { cacheTtl: KV_CACHE_SECONDS });
    return text === null ? null : parseStored(KeyRecord, text, keyRecordKey(id));
  };
  const copy = await records.get(id, now, read, waitUntil);
  const known = copy === null ? undefined : secretOf(copy, token);
  if (copy !== null && known !== undefined) return isOpen(copy, known, token, now) ? copy : null;
  // An id without a record never reaches the control plane: there is no end of ids.
  if (copy === null || !mayLookAtTruth(token, now)) return null;
  // The platform's own stub type makes more of the record than it is.
  const planes = CONTROL_PLANE as ControlPlanes;
  const record = await withTimeout(TRUTH_LIMIT_MS, async () => planes.getByName(CONTROL_NAME).readKey(id));
  const secret = record === null ? undefined : secretOf(record, token);
  if (record === null || secret === undefined) {
    if (unknownTokens.size >= MAX_KEYS) unknownTokens.clear();
    unknownTokens.set(token.secretHash, now + UNKNOWN_MS);
    return null;
  }
  records.put(id, record);
  return isOpen(record, secret, token, now) ? record : null;
}

function mayLookAtTruth({ secretHash }: VerifiedToken, now: number): boolean {
  if ((unknownTokens.get(secretHash) ?? 0) > now) return false;
  const second = Math.floor(now / 1_000);
  if (truthWindow.second !== second) truthWindow = { second, count: 0 };
  return truthWindow.count++ < TRUTH_PER_SECOND;
}

type Secret = KeyRecord["secrets"][number];

function secretOf(record: KeyRecord, { secretHash }: VerifiedToken): Secret | undefined {
  return record.secrets.find(({ hash }) => equalHashes(hash, secretHash));
}

/** `secret`: that of `record` which the token has. */
function isOpen(record: KeyRecord, secret: Secret, token: VerifiedToken, now: number): boolean {
  const isLive = record.status === "active" && record.env === token.key.env && !isPast(record.expires_at, now);
  return isLive && !isPast(secret.expires_at, now);
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
