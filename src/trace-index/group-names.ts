/**
 * Maps names that callers choose to groups of usage, capped per day.
 *
 * Apps, raw models and tags could be new in every request: beyond a limit they are counted in one group, so that sums
 * stay exact and an answer stays of a size that can be given. The rows of a day are limited as well: beyond their number
 * an app that makes a new row is counted as others are.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { UsagePlace } from "./usage.ts";
import { HOUR } from "./usage-schema.sql.ts";

/** The group of all names beyond the limit. No app, route or model has this name. */
export const OTHER_NAMES = "(other)";
const NAMED_BY_CALLERS = ["app", "route", "model"] as const;
const MAX_TAG_VALUES = 200;

export interface NameLimits {
  /** Apps, routes and models of a day, each. */
  readonly names: number;
  /** Rows of usage of a day. */
  readonly rows: number;
}

interface Known {
  readonly columns: Readonly<Record<(typeof NAMED_BY_CALLERS)[number], Set<string>>>;
  /** Values by the name of their tag. */
  readonly tags: Map<string, Set<string>>;
  rows: number;
}

export class GroupNames {
  readonly #sql: SqlStorage;
  readonly #limits: NameLimits;
  #known: Known | null = null;

  constructor(sql: SqlStorage, limits: NameLimits) {
    this.#sql = sql;
    this.#limits = limits;
  }

  /** Where usage is counted that belongs to `place`. What was counted before keeps its names. */
  limited(place: UsagePlace): UsagePlace {
    const { columns } = this.#load();
    const name = (column: (typeof NAMED_BY_CALLERS)[number]): string =>
      capped(columns[column], place[column], this.#limits.names);
    return { ...place, app: name("app"), route: name("route"), model: name("model"), tags: this.#tags(place.tags) };
  }

  get isFull(): boolean {
    return this.#load().rows >= this.#limits.rows;
  }

  noteRow(): void {
    this.#load().rows++;
  }

  /** After a transaction was undone. */
  forget(): void {
    this.#known = null;
  }

  #tags(text: string): string {
    if (text === "{}") return text;
    const value = tryParseJson(text);
    const tags = isJsonObject(value) ? Object.entries(value) : [];
    const { tags: known } = this.#load();
    const limited = tags.map(([name, each]) => {
      const values = known.get(name) ?? new Set<string>();
      known.set(name, values);
      return [name, capped(values, String(each), MAX_TAG_VALUES)];
    });
    return JSON.stringify(Object.fromEntries(limited));
  }

  #load(): Known {
    if (this.#known !== null) return this.#known;
    const column = (name: string): Set<string> => {
      const query = `SELECT DISTINCT ${name} AS name FROM usage WHERE grain = ?`;
      return new Set(
        this.#sql
          .exec<{ name: string }>(query, HOUR)
          .toArray()
          .map((row) => row.name),
      );
    };
    const tags = new Map<string, Set<string>>();
    for (const text of column("tags")) {
      for (const [name, value] of Object.entries(tryParseJson(text) ?? {})) {
        tags.set(name, (tags.get(name) ?? new Set()).add(String(value)));
      }
    }
    const { rows } = this.#sql.exec<{ rows: number }>("SELECT count(*) AS rows FROM usage WHERE grain = ?", HOUR).one();
    this.#known = { columns: { app: column("app"), route: column("route"), model: column("model") }, tags, rows };
    return this.#known;
  }
}

function capped(known: Set<string>, name: string, limit: number): string {
  if (known.has(name) || name === "") return name;
  if (known.size >= limit) return OTHER_NAMES;
  known.add(name);
  return name;
}
