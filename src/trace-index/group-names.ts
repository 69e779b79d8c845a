/**
 * Maps caller-chosen names to spend groups, capped per day.
 *
 * Apps and raw models are named by callers, who could name a new one in every request: beyond a limit per day they fall
 * into one group, so that sums stay exact and an answer stays of a size that can be given.
 */
import { WHOLE_DAY } from "./calendar.ts";
import type { SpendGroup } from "./types.ts";

/** The group of all names beyond the limit. No app, route or model is called so. */
export const OTHER_NAMES = "(other)";
const NAMED_BY_CALLERS: ReadonlySet<SpendGroup> = new Set<SpendGroup>(["app", "route", "model"]);

export class GroupNames {
  readonly #sql: SqlStorage;
  readonly #limit: number;
  readonly #known = new Map<SpendGroup, Set<string>>();

  constructor(sql: SqlStorage, limit: number) {
    this.#sql = sql;
    this.#limit = limit;
  }

  /** For what is about to be added to the sums of the day. */
  add(groupBy: SpendGroup, name: string): string {
    if (!NAMED_BY_CALLERS.has(groupBy)) return name;
    const known = this.#of(groupBy);
    if (known.has(name) || known.size >= this.#limit) return this.find(groupBy, name);
    known.add(name);
    return name;
  }

  /** For what has been added. */
  find(groupBy: SpendGroup, name: string): string {
    return !NAMED_BY_CALLERS.has(groupBy) || this.#of(groupBy).has(name) ? name : OTHER_NAMES;
  }

  /** After a transaction was undone. */
  forget(): void {
    this.#known.clear();
  }

  #of(groupBy: SpendGroup): Set<string> {
    const found = this.#known.get(groupBy) ?? this.#read(groupBy);
    this.#known.set(groupBy, found);
    return found;
  }

  #read(groupBy: SpendGroup): Set<string> {
    const query = "SELECT name FROM spend WHERE group_by = ? AND slot = ?";
    return new Set(
      this.#sql
        .exec<{ name: string }>(query, groupBy, WHOLE_DAY)
        .toArray()
        .map(({ name }) => name),
    );
  }
}
