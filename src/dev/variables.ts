/**
 * The variables the local Worker runs with: `.dev.vars`, or each `--env-file` in its place, then what the process
 * environment says of providers, then `--var`. An empty value sets nothing.
 *
 * Given any `--env-file`, wrangler no longer reads `.dev.vars`, and it expands `$NAME` in values. So the generated
 * variables and those of `.dev.vars` travel together in one file of ours, where every `$` is escaped.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { providerVariables, SHARED_CREDENTIALS } from "./seed-providers.ts";
import { StartError } from "./start-error.ts";

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
  /** From `.dev.vars` and the process environment; the former is left out when the user names env files, which wrangler reads itself. */
  readonly own: Variables;
  /** Credentials of the process environment that were not taken, because other tools use them too. */
  readonly ignored: readonly string[];
  /** All of them together, the last word last. */
  readonly all: Variables;
}

/** What the user configured, by file, environment and argument. `root` is the directory of `wrangler.toml`. */
export function userVariables(root: string, args: readonly string[], environment: NodeJS.ProcessEnv): UserVariables {
  const envFiles = optionValues(args, "--env-file");
  const devVars = envFiles.length === 0 ? readVariables(join(root, ".dev.vars")) : {};
  const named = envFiles.map((file) => readVariables(resolve(root, file)));
  const fromEnvironment: Record<string, string> = {};
  const ignored: string[] = [];
  const fromFiles = Object.fromEntries([...named, devVars].flatMap(Object.entries)) as Record<string, string>;
  for (const name of providerVariables()) {
    const value = environment[name] ?? "";
    if (value === "" || value === fromFiles[name]) continue;
    if (SHARED_CREDENTIALS.includes(name)) ignored.push(name);
    else fromEnvironment[name] = value;
  }
  const pairs: [string, string][] = [];
  for (const variable of optionValues(args, "--var")) {
    // Wrangler splits at the first colon only: a value may hold any number of them.
    const colon = variable.indexOf(":");
    pairs.push([variable.slice(0, colon), variable.slice(colon + 1)]);
  }
  const own = withoutEmpty({ ...devVars, ...fromEnvironment });
  const all = withoutEmpty({ ...fromFiles, ...fromEnvironment, ...Object.fromEntries(pairs) });
  return { own, ignored: ignored.filter((name) => all[name] === undefined), all };
}

const withoutEmpty = (variables: Variables): Variables =>
  Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ""));

/** Base URLs that the Worker calls only where private addresses are allowed: those of servers on this machine. */
export function privateAddresses(variables: Variables): readonly string[] {
  return Object.entries(variables)
    .filter(([name, value]) => name.endsWith("_BASE_URL") && /^http:/i.test(value))
    .map(([name]) => name);
}

function quoted(name: string, value: string): string {
  // Inside quotes dotenv takes everything as it is, except line breaks written out within double quotes.
  const quote = ["'", "`", '"'].find((mark) => !value.includes(mark));
  if (quote === undefined || (quote === '"' && value.includes("\\"))) {
    throw new StartError(`The value of ${name} mixes all kinds of quotes. Give it with --var ${name}:<value>.`);
  }
  return `${quote}${value.replaceAll("$", "\\$")}${quote}`;
}

/** The text of an env file that wrangler reads back as exactly `variables`. */
export function envFile(variables: Variables): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${quoted(name, value)}\n`)
    .join("");
}
