/**
 * One list of the lists of many objects, as far as it is certain: what an object that was not asked yet may hold is not
 * run past.
 *
 * Pure.
 */
import { HOUR_MS, shardName } from "./calendar.ts";
import { comparePositions } from "./cursor.ts";
import type { DayList, ListedTrace, Position } from "./types.ts";

export interface Source {
  readonly env: string;
  readonly name: string;
  /** Its traces are of times below, epoch ms. */
  readonly top: number;
}

export interface Wanted {
  readonly source: Source;
  /** Only rows behind it; `null`: from the beginning. */
  readonly from: Position | null;
  readonly wanted: number;
}

interface Standing {
  readonly source: Source;
  /** Rows behind it are unknown. */
  floor: Position;
  isAsked: boolean;
}

/** Where an hour has many objects, each is asked for a little more than its share, so that answers stay small. */
const SHARE = 2;
const SPARE = 8;

export class ListMerge {
  readonly #wanted: number;
  readonly #rows: ListedTrace[] = [];
  readonly #open = new Map<string, Standing>();
  readonly #known = new Set<string>();

  /** `wanted`: how many rows are enough. */
  constructor(sources: readonly Source[], wanted: number) {
    this.#wanted = wanted;
    for (const source of sources) this.#open.set(source.name, standingOf(source));
  }

  /** Whom to ask now: those that may have the next rows, filled up to `atOnce` with those behind. Empty: it is enough. */
  next(atOnce: number): Wanted[] {
    const certain = this.page().rows.length;
    if (certain >= this.#wanted) return [];
    const open = [...this.#open.values()].sort((a, b) => comparePositions(a.floor, b.floor));
    const top = open[0]?.floor;
    if (top === undefined) return [];
    const first = open.filter(({ floor }) => comparePositions(floor, top) === 0);
    // Most pages are full with the newest traces.
    const isBegun = this.#known.size > 0;
    const chosen = isBegun && first.length < atOnce ? open.slice(0, atOnce) : first;
    const missing = this.#wanted - certain;
    const wanted =
      first.length <= atOnce ? missing : Math.min(missing, Math.ceil(missing / first.length) * SHARE + SPARE);
    return chosen.map(({ source, floor, isAsked }) => ({ source, from: isAsked ? floor : null, wanted }));
  }

  add(source: Source, { rows, end, shards = [] }: DayList, wanted: number): void {
    this.#rows.push(...rows);
    const last = rows.at(-1);
    const floor = end ?? (rows.length >= wanted && last !== undefined ? last : null);
    if (floor === null) this.#open.delete(source.name);
    else this.#open.set(source.name, { source, floor: { createdAt: floor.createdAt, id: floor.id }, isAsked: true });
    // What a day has said of its shards holds for the whole page.
    if (this.#known.has(source.name)) return;
    this.#known.add(source.name);
    for (const shard of shards) {
      const one = { env: source.env, name: shardName(source.env, shard), top: shard.hourAt + HOUR_MS };
      this.#open.set(one.name, standingOf(one));
    }
  }

  /** The rows that are certain, newest first, and where others may follow; `null`: there are none. */
  page(): { readonly rows: readonly ListedTrace[]; readonly end: Position | null } {
    let end: Position | null = null;
    for (const { floor } of this.#open.values()) if (end === null || comparePositions(floor, end) < 0) end = floor;
    const certain = end === null ? this.#rows : this.#rows.filter((row) => comparePositions(row, end) <= 0);
    return { rows: certain.toSorted(comparePositions), end };
  }
}

function standingOf(source: Source): Standing {
  return { source, floor: { createdAt: source.top, id: "" }, isAsked: false };
}
