/**
 * Whose requests failed at a target. What only one key saw may be caused by what that key sends (a file it names, a text
 * that breaks a tokenizer), and the others must not lose the target for it. Pure. Two keys say as much as a hundred.
 */
import { isInWindow } from "./quantile.ts";

/** Stands for failures of keys that are not known. No key has this id. */
export const ANYBODY = "";

export interface FailedKey {
  readonly key: string;
  /** Time of its latest failure, epoch ms. */
  readonly at: number;
}

/** Are failures of these keys held against the target for requests of `key`? */
export function concerns(keys: readonly string[], key: string): boolean {
  const [first, second] = keys;
  return second !== undefined || first === undefined || first === key || first === ANYBODY;
}

/** At most two. */
export function withKey(keys: readonly string[], key: string): readonly string[] {
  return keys.length > 1 || keys.includes(key) ? keys : [...keys, key];
}

/** Those of the window that ends now, the latest last, at most two. */
export function withFailed(failed: readonly FailedKey[], keys: readonly string[], now: number): readonly FailedKey[] {
  const kept = failed.filter(({ key, at }) => isInWindow(at, now) && !keys.includes(key));
  return [...kept, ...keys.map((key) => ({ key, at: now }))].slice(-2);
}

/** The only key whose requests failed; `null`: several, or unknown. */
export function soleKeyOf(failed: readonly FailedKey[]): string | null {
  const [first, second] = failed;
  return first === undefined || second !== undefined || first.key === ANYBODY ? null : first.key;
}
