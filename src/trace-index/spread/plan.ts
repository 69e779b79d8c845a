/**
 * Which object takes a trace, by when its request came and by its key.
 *
 * Pure. The answer for a time never changes once a trace of that time was taken: every trace has one place, however often
 * and by whom it is sent, and so it counts once. The object of the day decides, and says until when what it said holds.
 */
import { HOUR_MS, type Shard, shardName, trailName } from "../calendar.ts";

/** From `from` on (epoch ms), traces go to so many shards an hour; 0: to the object of the day. */
export interface SpreadStep {
  readonly from: number;
  readonly shards: number;
}

export interface Spread {
  /** In the order of time. Before the first one: the object of the day. */
  readonly steps: readonly SpreadStep[];
  /** It is settled for times below, epoch ms. */
  readonly until: number;
}

export const MAX_SHARDS = 256;
/** What one object takes well: calls a second, where ten traces count as one call more. A fifth of the platform's limit. */
export const WANTED_LOAD = 200;
/** Above it there are more objects soon, below this part of it fewer. */
const HIGH_LOAD = 300;
const LOW_PART = 0.1;

export function shardsAt({ steps }: Pick<Spread, "steps">, at: number): number {
  return steps.findLast(({ from }) => from <= at)?.shards ?? 0;
}

/** FNV-1a: equal for ever, and even over ids. */
export function shardOf(keyId: string, of: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < keyId.length; at++) hash = Math.imul(hash ^ keyId.charCodeAt(at), 0x01000193);
  // The low bits of short texts are the least even ones.
  return ((hash ^ (hash >>> 15)) >>> 0) % of;
}

export function hourOf(at: number): number {
  return at - (at % HOUR_MS);
}

/** The shard of a key at a time at which there are `of` of them. */
export function shardFor(keyId: string, at: number, of: number): Shard {
  return { hourAt: hourOf(at), number: shardOf(keyId, of), of };
}

/** The name of the object that takes a trace. */
export function placeOf(spread: Pick<Spread, "steps">, env: string, keyId: string, at: number): string {
  const of = shardsAt(spread, at);
  return of === 0 ? trailName(env, at) : shardName(env, shardFor(keyId, at, of));
}

/** How many shards there should be, now that there are `shards` and all of them together have `load`. */
export function wantedShards(shards: number, load: number, isDayFull: boolean): number {
  const enough = Math.min(MAX_SHARDS, 2 ** Math.ceil(Math.log2(Math.max(1, load / WANTED_LOAD))));
  const perObject = load / Math.max(1, shards);
  if (perObject > HIGH_LOAD) return Math.max(shards, enough, shards === 0 ? 2 : 0);
  // One object less is nothing gained: the object of the day does not get its traces back before the next day.
  if (shards > 1 && perObject < HIGH_LOAD * LOW_PART) return Math.max(1, Math.min(shards, enough));
  return shards === 0 && isDayFull ? 1 : shards;
}
