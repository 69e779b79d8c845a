/**
 * What a command needs of the world around it, and how it ends.
 *
 * Text from the other side may hold anything, a model's tool arguments included: nothing reaches a terminal that could
 * move its cursor or turn its text around.
 */

/** Done, or nothing to do. */
export const EXIT_OK = 0;
export const EXIT_ERROR = 1;
/** There are changes to make that were not confirmed. */
export const EXIT_PENDING = 2;
/** The host refused: gates did not pass, or the policy asks for a promotion. */
export const EXIT_BLOCKED = 3;

export interface Terminal {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Paths are relative to it. */
  readonly directory: string;
  /** There is a person who can be asked. */
  readonly isInteractive: boolean;
  write(text: string): void;
  writeError(text: string): void;
  /** What the person typed; empty when there was no answer. */
  ask(question: string): Promise<string>;
  readonly fetch: typeof fetch;
}

/** Ends the command: the message is shown, `exitCode` is one of the above. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_ERROR) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Control characters, and those that change the direction of text or cannot be seen. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu;
const escapeCharacter = (character: string): string =>
  [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
    .join("");

/** `text` on one line, with what a terminal would act on spelled out. */
export const safe = (text: string): string => text.replace(UNSAFE, escapeCharacter);

/** A JSON document, still the same value when it is parsed, with nothing that a terminal would act on. */
export const jsonText = (value: unknown): string =>
  `${JSON.stringify(value, null, 2).replace(UNSAFE, (character) => (character === "\n" ? "\n" : escapeCharacter(character)))}\n`;

/** Columns under their titles, padded; without rows only the text that says so. */
export function table(titles: readonly string[], rows: readonly (readonly unknown[])[], none: string): string {
  if (rows.length === 0) return `${none}\n`;
  const lines = [titles, ...rows.map((row) => row.map(cell))];
  const widths = titles.map((_, at) => Math.max(...lines.map((line) => (line[at] ?? "").length)));
  const pad = (line: readonly string[]): string =>
    line
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return `${lines.map(pad).join("\n")}\n`;
}

/** One name and value per line. */
export function record(members: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...members.map(([name]) => name.length));
  return members.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}\n`).join("");
}

const MAX_CELL_LENGTH = 400;

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.map(cell).join(",");
  const text = safe(typeof value === "string" ? value : JSON.stringify(value));
  return text.length > MAX_CELL_LENGTH ? `${text.slice(0, MAX_CELL_LENGTH)}…` : text;
}
