/** How a command describes itself. The program, its help, its completions and the reference page are made from this. */
import type { Command } from "./input.ts";

export interface CommandSpec {
  /** `create <id> [more]`: its last word, then its arguments. */
  readonly name: string;
  readonly summary: string;
  /** `[flags, description]`; a value is `<text>`, one that may be repeated `<text...>`. */
  readonly options?: readonly (readonly [string, string])[];
  /** Lines below the options in its help. */
  readonly notes?: string;
  readonly run?: Command;
  /** Commands below this one. `run` is then what it does without one of them. */
  readonly commands?: readonly CommandSpec[];
}

export const PAGE = [
  ["--limit <n>", "rows, 1 to 1000"],
  ["--cursor <text>", "go on where a page ended"],
] as const;
export const RANGE = [
  ["--since <time>", "2026-11-30, 2026-11-30T10:00:00Z, or 1h, 30d before now"],
  ["--until <time>", "the same, exclusive"],
] as const;
