/**
 * The variables the local Worker runs with, as wrangler will see them: `.dev.vars`, or each `--env-file` in its place,
 * then `--var`.
 *
 * Given any `--env-file`, wrangler no longer reads `.dev.vars`, and it expands `$NAME` in values. So the generated
 * variables and those of `.dev.vars` travel together in one file of ours, where every `$` is escaped.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";

export type Variables = Readonly<Record<string, string>>;

/** Values of an option that may be repeated and may take several values: `--var A:1 B:2 --var=C:3`. */
function optionValues(args: readonly string[], option: string): string[] {
  const values: string[] = [];
  let taking = false;
  for (const arg of args) {
    if (arg.startsWith(`${option}=`)) values.push(arg.slice(option.length + 1));
    else if (arg === option) taking = true;
    else if (arg.startsWith("-")) taking = false;
    else if (taking) values.push(arg);
  }
  return values;
}

function readVariables(path: string): Record<string, string> {
  if (!existsSync(path)) return {};
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(readFileSync(path, "utf8")))) variables[name] = value ?? "";
  return variables;
}

export interface UserVariables {
  /** From `.dev.vars`; empty when the user names env files, which wrangler reads itself. */
  readonly devVars: Variables;
  /** All of them together, the last word last. */
  readonly all: Variables;
}

/** What the user configured, by file and by argument. `root` is the directory of `wrangler.toml`. */
export function userVariables(root: string, args: readonly string[]): UserVariables {
  const envFiles = optionValues(args, "--env-file");
  const devVars = envFiles.length === 0 ? readVariables(join(root, ".dev.vars")) : {};
  const pairs = [...envFiles.map((file) => readVariables(resolve(root, file))), devVars].flatMap(Object.entries);
  for (const variable of optionValues(args, "--var")) {
    // Wrangler splits at the first colon only: a value may hold any number of them.
    const colon = variable.indexOf(":");
    pairs.push([variable.slice(0, colon), variable.slice(colon + 1)]);
  }
  return { devVars, all: Object.fromEntries(pairs) };
}

function quoted(name: string, value: string): string {
  // Inside quotes dotenv takes everything as it is, except line breaks written out within double quotes.
  const quote = ["'", "`", '"'].find((mark) => !value.includes(mark));
  if (quote === undefined || (quote === '"' && value.includes("\\"))) {
    throw new Error(`The value of ${name} mixes all kinds of quotes. Give it with --var ${name}:<value>.`);
  }
  return `${quote}${value.replaceAll("$", "\\$")}${quote}`;
}

/** The text of an env file that wrangler reads back as exactly `variables`. */
export function envFile(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${quoted(name, value)}\n`)
    .join("");
}
