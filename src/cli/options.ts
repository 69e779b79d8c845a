/** A command's arguments. What is not known is refused, never ignored: a misspelled option must not change a deployment. */
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { type Client, createClient } from "./client.ts";
import { CommandError, EXIT_PENDING, jsonText, type Terminal } from "./terminal.ts";

const COMMON = { url: { type: "string" }, json: { type: "boolean" }, yes: { type: "boolean", short: "y" } } as const;

export interface CommandInput {
  readonly terminal: Terminal;
  /** Words that are no options. */
  readonly words: readonly string[];
  /** The value of a text option; `undefined` when it was not given. Throws for an empty one. */
  text(name: string): string | undefined;
  /** The values of an option that may be repeated or hold commas. */
  list(name: string): readonly string[];
  has(name: string): boolean;
  client(): Client;
  /** Writes `value` as JSON where that was asked for, else `show()`. */
  print(value: unknown, show: () => string): void;
  /** Asks, unless `--yes` was given. Throws with exit code 2 when the answer is not yes or there is no terminal. */
  confirm(question: string): Promise<void>;
}

export type Command = (input: CommandInput) => Promise<number>;

/** `options` besides the common ones. `wordCount` is the least and the most words. Throws `CommandError`. */
export function readInput(
  terminal: Terminal,
  argv: readonly string[],
  options: ParseArgsOptionsConfig,
  [fewest, most]: readonly [number, number],
  usage: string,
): CommandInput {
  const { values, positionals } = parsed(argv, { ...COMMON, ...options }, usage);
  if (positionals.length < fewest || positionals.length > most) throw new CommandError(`Usage: ${usage}`);
  const text = (name: string): string | undefined => {
    const value = values[name];
    if (value === "") throw new CommandError(`--${name} must not be empty. Usage: ${usage}`);
    return typeof value === "string" ? value : undefined;
  };
  return {
    terminal,
    words: positionals,
    text,
    list(name) {
      const given = values[name];
      const texts = Array.isArray(given) ? given.map(String) : [];
      const items = texts.flatMap((each) => each.split(",")).map((each) => each.trim());
      if (items.includes("")) throw new CommandError(`--${name} must not be empty. Usage: ${usage}`);
      return items;
    },
    has: (name) => values[name] === true,
    client: () => createClient(terminal, text("url")),
    print: (value, show) => terminal.write(values["json"] === true ? jsonText(value) : show()),
    confirm: (question) => confirm(terminal, question, values["yes"] === true),
  };
}

function parsed(argv: readonly string[], options: ParseArgsOptionsConfig, usage: string) {
  try {
    const found = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    // Without the types of a fixed configuration, which is what the functions above stand for.
    return { values: found.values as Readonly<Record<string, unknown>>, positionals: found.positionals };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split(". ")[0] ?? "") : "";
    throw new CommandError(`${reason}. Usage: ${usage}`);
  }
}

async function confirm(terminal: Terminal, question: string, isAnswered: boolean): Promise<void> {
  if (isAnswered) return;
  if (!terminal.isInteractive) {
    throw new CommandError("Nothing was changed: there is no terminal to ask at. Add --yes to go ahead.", EXIT_PENDING);
  }
  const answer = (await terminal.ask(`${question} [y/N] `)).trim().toLowerCase();
  if (answer !== "y" && answer !== "yes") throw new CommandError("Nothing was changed.", EXIT_PENDING);
}

/** Text in a path. */
export const encode = (text: string): string => {
  if (text === "." || text === "..") throw new CommandError("A name cannot be a dot segment.");
  return encodeURIComponent(text);
};

/** A whole number that is at least `minimum`. */
export function wholeNumber(name: string, text: string | undefined, minimum = 1): number | undefined {
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= minimum) return value;
  throw new CommandError(`${name} must be a whole number, at least ${minimum}.`);
}
