/** The folder of policies: `<folder>/<env>/<route>.json`, plain JSON. Every file is checked before anything is compared. */
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject, repeatedKey, tryParseJson } from "../../lib/json.ts";
import { ENV_NAME, RESOURCE_NAME } from "../../lib/text/name-patterns.ts";
import { RoutePolicy } from "../../policy/schema.ts";
import { CommandError } from "../terminal.ts";
import { safe } from "../text.ts";
import type { PolicyFile } from "./plan.ts";

const EXTENSION = ".json";
const PROSE = /^(?:readme|license|codeowners)(?:\.[a-z]+)?$/i;

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
  // A policy next to the environment folders belongs to none of them.
  for (const { name } of entries.filter((entry) => entry.isFile() && entry.name.endsWith(EXTENSION))) {
    faults.push(`${safe(name)}: belongs into the folder of an environment, such as production/${safe(name)}`);
  }
  for (const env of environments) {
    if (!ENV_NAME.test(env)) faults.push(`${safe(env)}: a folder's name must match ${ENV_NAME.source}`);
    for (const entry of (await readdir(join(root, env), { withFileTypes: true })).sort(byName)) {
      const { name } = entry;
      if (name.startsWith(".") || PROSE.test(name)) continue;
      const file =
        entry.isDirectory() || !name.endsWith(EXTENSION)
          ? `is no policy: a policy is <route>${EXTENSION}. Rename it, or move it out of the folder.`
          : await readPolicy(join(root, env, name), env, name.slice(0, -EXTENSION.length));
      if (typeof file === "string") faults.push(`${safe(`${env}/${name}`)}: ${safe(file)}`);
      else files.push(file);
    }
  }
  if (faults.length > 0) throw new CommandError(faults.join("\n"));
  return { environments, files };
}

const byName = (left: { name: string }, right: { name: string }): number => (left.name < right.name ? -1 : 1);

/** The file, or what is wrong with it. */
async function readPolicy(path: string, env: string, name: string): Promise<PolicyFile | string> {
  if (!RESOURCE_NAME.test(name)) return `a route's name must match ${RESOURCE_NAME.source}`;
  const text = await readFile(path, "utf8").catch(() => null);
  return text === null ? "cannot be read." : checkPolicy(text, env, name);
}

/** A policy's text with the defaults, or what is wrong with it. `$schema` is the editor's and goes nowhere. */
export function checkPolicy(text: string, env: string, name: string): PolicyFile | string {
  const value = tryParseJson(text);
  if (value === undefined) return "is not valid JSON. Comments are not allowed.";
  const twice = repeatedKey(text);
  if (twice !== null) return `\`${twice}\` is given twice.`;
  const { $schema: _schema, ...policy } = isJsonObject(value) ? value : { value };
  const parsed = RoutePolicy.safeParse(isJsonObject(value) ? policy : value, EXPLAINED);
  if (!parsed.success) return invalidField(parsed.error.issues).message;
  return {
    env,
    name,
    text: isJsonObject(value) && "$schema" in value ? JSON.stringify(policy) : text,
    policy: parsed.data,
    said: policy,
  };
}
