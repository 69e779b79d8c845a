/**
 * The API key a client holds: `fl_<env>_<id>_<secret><tail>`.
 *
 * The id names the record, the secret proves possession, and the tail is a truncated HMAC of all before it under the
 * deployment's pepper: a mistyped or invented key is refused without any I/O.
 */
import { digestBase62, randomBase62 } from "../lib/text/base62.ts";
import { equalSecrets, hmac, pepperId, toHex } from "./hash.ts";

const ID_LENGTH = 12;
/** 32 base-62 characters are 190 bits. */
const SECRET_LENGTH = 32;
const TAIL_LENGTH = 8;

const KEY = /^fl_([a-z][a-z0-9-]{0,30})_([0-9A-Za-z]{12})_([0-9A-Za-z]{32})([0-9A-Za-z]{8})$/;

export interface ParsedKey {
  readonly env: string;
  readonly id: string;
  readonly secret: string;
  readonly tail: string;
}

/** The parts of `token`, or `null` when it cannot be a key of ours. Says nothing about its tail. */
export function parseKey(token: string): ParsedKey | null {
  const match = KEY.exec(token);
  if (match === null) return null;
  const [, env = "", id = "", secret = "", tail = ""] = match;
  return { env, id, secret, tail };
}

async function tailOf(pepper: string, env: string, id: string, secret: string): Promise<string> {
  return digestBase62(await hmac(pepper, `tail:fl_${env}_${id}_${secret}`), TAIL_LENGTH);
}

export async function hasValidTail(pepper: string, key: ParsedKey): Promise<boolean> {
  return equalSecrets(await tailOf(pepper, key.env, key.id, key.secret), key.tail);
}

/** What is stored instead of the secret: its HMAC-SHA-256 under the pepper, in hex. */
export async function hashSecret(pepper: string, secret: string): Promise<string> {
  return toHex(await hmac(pepper, `secret:${secret}`));
}

export function newKeyId(): string {
  return randomBase62(ID_LENGTH);
}

export interface NewSecret {
  /** To show once. */
  readonly token: string;
  /** To keep, with the name of the pepper it is made under. */
  readonly hash: string;
  readonly pepperId: string;
}

/** A fresh secret for key `id`. */
export async function newSecret(pepper: string, env: string, id: string): Promise<NewSecret> {
  const secret = randomBase62(SECRET_LENGTH);
  const tail = await tailOf(pepper, env, id, secret);
  return {
    token: `fl_${env}_${id}_${secret}${tail}`,
    hash: await hashSecret(pepper, secret),
    pepperId: await pepperId(pepper),
  };
}
