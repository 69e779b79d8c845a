/** The folder of policies: `<folder>/<env>/<route>.json`, plain JSON. Every file is checked before anything is compared. */
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { EXPLAINED, invalidField } from "../http/validation-errors.ts";
import { repeatedKey, tryParseJson } from "../lib/json.ts";
import { ENV_NAME, RESOURCE_NAME } from "../lib/name-patterns.ts";
import { RoutePolicy } from "../policy/schema.ts";
import type { PolicyFile } from "./plan.ts";
import { CommandError, safe } from "./terminal.ts";

const EXTENSION = ".json";

export interface PolicyFolder {
  /** Those that were asked for, or all that have a folder. */
  readonly environments: readonly string[];
  readonly files: readonly PolicyFile[];
}

/** Throws for a folder that is not there, and with every fault of every file at once. */
export async function readPolicies(directory: string, folder: string, only: readonly string[]): Promise<PolicyFolder> {
  const root = resolve(directory, folder);
  const entries = await readdir(root, { withFileTypes: true }).catch(() => {
    throw new CommandError(`There is no folder ${safe(folder)}. Make it, or name another one with --dir.`);
  });
  const found = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
  const missing = only.filter((env) => !found.includes(env));
  if (missing.length > 0) throw new CommandError(`There is no folder ${safe(missing.join(", "))} in ${safe(folder)}.`);
  const environments = (only.length > 0 ? [...new Set(only)] : found).sort();
  const faults: string[] = [];
  const files: PolicyFile[] = [];
  for (const env of environments) {
    if (!ENV_NAME.test(env)) faults.push(`${safe(env)}: a folder's name must match ${ENV_NAME.source}`);
    for (const name of (await readdir(join(root, env))).sort()) {
      if (!name.endsWith(EXTENSION) || name.startsWith(".")) continue;
      const file = await readPolicy(join(root, env, name), env, name.slice(0, -EXTENSION.length));
      if (typeof file === "string") faults.push(`${safe(`${env}/${name}`)}: ${safe(file)}`);
      else files.push(file);
    }
  }
  if (faults.length > 0) throw new CommandError(faults.join("\n"));
  return { environments, files };
}

/** The file, or what is wrong with it. */
async function readPolicy(path: string, env: string, name: string): Promise<PolicyFile | string> {
  if (!RESOURCE_NAME.test(name)) return `a route's name must match ${RESOURCE_NAME.source}`;
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return "cannot be read.";
  const value = tryParseJson(text);
  if (value === undefined) return "is not valid JSON. Comments are not allowed.";
  const twice = repeatedKey(text);
  if (twice !== null) return `\`${twice}\` is given twice.`;
  const parsed = RoutePolicy.safeParse(value, EXPLAINED);
  return parsed.success ? { env, name, text, policy: parsed.data } : invalidField(parsed.error.issues[0]).message;
}
