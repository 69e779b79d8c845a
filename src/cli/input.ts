/** What a command gets: its words and options, the host, and ways to print and to ask. */
import { type Client, createClient, createKeyClient, createOpenClient, type Json, listBody } from "./client.ts";
import { findHost, type Host } from "./hosts.ts";
import { type Column, type Look, table } from "./table.ts";
import { CommandError, EXIT_PENDING, type Terminal } from "./terminal.ts";
import { jsonText, timeOf } from "./text.ts";

const DEFAULT_COLUMNS = 80;

export type OptionValues = Readonly<Record<string, unknown>>;

export interface CommandInput {
  readonly terminal: Terminal;
  /** Words that are no options. */
  readonly words: readonly string[];
  readonly isJson: boolean;
  /** The value of a text option; `undefined` when it was not given. Throws for an empty one. */
  text(name: string): string | undefined;
  /** As `text`, for an option that the command cannot do without. */
  required(name: string): string;
  /** The values of an option that may be repeated or hold commas. */
  list(name: string): readonly string[];
  has(name: string): boolean;
  /** A time option as ISO 8601: a date, or `1h` before now; after now where `isAhead`. */
  time(name: string, isAhead?: boolean): string | undefined;
  whole(name: string, minimum?: number): number | undefined;
  /** A positive amount of USD. */
  usd(name: string): number | undefined;
  /** Those options that were given, by the names of the query. Times are read as such. */
  filters(names: readonly string[]): [string, string][];
  host(): Host;
  client(): Client;
  /** With an API key, for requests and not for the control plane. */
  keyClient(): Client;
  openClient(): Client;
  readonly look: Look;
  /** Writes `value` as JSON where that was asked for, else `show()`. */
  print(value: unknown, show: () => string): void;
  /** A list in its one JSON shape, or as a table. */
  printRows(columns: readonly Column<Json>[], rows: readonly Json[], none: string, cursor?: string | null): void;
  /** Asks, unless `--yes` was given. Throws with exit code 2 when the answer is not yes or there is no terminal. */
  confirm(question: string): Promise<void>;
}

export type Command = (input: CommandInput) => Promise<number>;

const TIMES = ["since", "until", "at"];

export function inputOf(
  terminal: Terminal,
  words: readonly string[],
  values: OptionValues,
  usage: string,
): CommandInput {
  const isJson = values["json"] === true;
  const text = (name: string): string | undefined => {
    const value = values[name];
    if (value === "") throw new CommandError(`--${name} must not be empty. Usage: ${usage}`);
    return typeof value === "string" ? value : undefined;
  };
  const time = (name: string, isAhead = false): string | undefined => {
    const given = text(name);
    if (given === undefined) return undefined;
    const found = timeOf(given, Date.now(), isAhead);
    if (found !== null) return found;
    throw new CommandError(`--${name} must be a time such as 2026-12-31, 2026-12-31T10:00:00Z or 30d.`);
  };
  const host = (): Host => findHost(terminal, { url: text("url"), profile: text("profile"), env: text("env") });
  const look: Look = {
    columns: values["wide"] === true ? null : columnsOf(terminal),
    hasColour: terminal.hasColour === true,
    now: Date.now(),
  };
  const print = (value: unknown, show: () => string): void => terminal.write(isJson ? jsonText(value) : show());
  return {
    ...{ terminal, words, isJson, text, time, host, look, print },
    required(name) {
      const value = text(name);
      if (value === undefined) throw new CommandError(`--${name} is missing. Usage: ${usage}`);
      return value;
    },
    list(name) {
      const given = values[name];
      const texts = Array.isArray(given) ? given.map(String) : [];
      const items = texts.flatMap((each) => each.split(",")).map((each) => each.trim());
      if (items.includes("")) throw new CommandError(`--${name} must not be empty. Usage: ${usage}`);
      return items;
    },
    has: (name) => values[name] === true,
    whole: (name, minimum = 1) => wholeNumber(`--${name}`, text(name), minimum),
    usd(name) {
      const given = text(name);
      if (given === undefined) return undefined;
      const value = /^[0-9]{1,9}(?:\.[0-9]{1,9})?$/.test(given) ? Number(given) : Number.NaN;
      if (value >= 0) return value;
      throw new CommandError(`--${name} must be an amount of USD, such as 2.50.`);
    },
    filters(names) {
      return names.flatMap((name): [string, string][] => {
        const value = TIMES.includes(name) ? time(name) : text(name);
        return value === undefined ? [] : [[name.replaceAll("-", "_"), value]];
      });
    },
    client: () => createClient(terminal, host()),
    keyClient: () => createKeyClient(terminal, host()),
    openClient: () => createOpenClient(terminal, host()),
    printRows(columns, rows, none, cursor = null) {
      const more = cursor === null ? "" : `More: --cursor ${cursor}\n`;
      print(listBody(rows, cursor), () => `${table(columns, rows, none, look)}${more}`);
    },
    confirm: (question) => confirm(terminal, question, values["yes"] === true),
  };
}

function columnsOf({ columns, variables }: Terminal): number {
  const named = Number(variables["COLUMNS"]);
  return columns ?? (Number.isInteger(named) && named > 0 ? named : DEFAULT_COLUMNS);
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

/** `<env>/<route>` as a path below `/admin/routes`. */
export function routePath(route: string): { env: string; name: string; path: string } {
  const [env = "", name = "", ...more] = route.split("/");
  if (env === "" || name === "" || more.length > 0)
    throw new CommandError("Name the route as <env>/<route>, such as production/best-reasoning.");
  return { env, name, path: `/admin/routes/${encode(env)}/${encode(name)}` };
}

/** A whole number that is at least `minimum`. */
export function wholeNumber(name: string, text: string | undefined, minimum = 1): number | undefined {
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= minimum) return value;
  throw new CommandError(`${name} must be a whole number, at least ${minimum}.`);
}
