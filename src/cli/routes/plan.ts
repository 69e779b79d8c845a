/**
 * From policy files and the routes of a host to the changes that make the host like the files. Pure.
 *
 * Both sides are compared with the defaults filled in, as the host stores a policy: a file that leaves out a default is
 * no change.
 */
import { isJsonObject } from "../../lib/json.ts";
import { safe } from "../text.ts";

export interface PolicyFile {
  readonly env: string;
  readonly name: string;
  /** The file as it is: what the host gets. */
  readonly text: string;
  /** Its policy with the defaults. */
  readonly policy: unknown;
  /** What the file says, without them: all that a new route has to show. */
  readonly said?: unknown;
}

export interface LiveRoute {
  readonly env: string;
  readonly name: string;
  readonly version: number;
  readonly policy: unknown;
}

/** One member that differs. `before` and `after` are absent where there is none. */
export interface Difference {
  /** `targets[0].model` */
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface Change {
  readonly action: "create" | "update" | "delete";
  readonly env: string;
  readonly name: string;
  /** The version the plan was made on; 0 for none. Anything else is refused when it is applied. */
  readonly version: number;
  readonly differences: readonly Difference[];
  /** The active policy takes changes by promotion only. */
  readonly needs_promotion: boolean;
  /** Absent for a deletion. */
  readonly text?: string;
}

export interface Plan {
  readonly changes: readonly Change[];
  /** Routes of these environments that no file describes, `<env>/<name>`. They stay, unless pruning was asked for. */
  readonly unmanaged: readonly string[];
}

export function planOf(files: readonly PolicyFile[], live: readonly LiveRoute[], mayPrune: boolean): Plan {
  const found = new Map(live.map((route) => [`${route.env}/${route.name}`, route]));
  const changes: Change[] = [];
  for (const { env, name, text, policy, said } of files) {
    const route = found.get(`${env}/${name}`);
    found.delete(`${env}/${name}`);
    const differences = differencesOf(route?.policy, route === undefined ? (said ?? policy) : policy);
    if (route !== undefined && differences.length === 0) continue;
    const action = route === undefined ? "create" : "update";
    const version = route?.version ?? 0;
    changes.push({ action, env, name, version, differences, needs_promotion: isGuarded(route?.policy, env), text });
  }
  if (!mayPrune) return { changes, unmanaged: [...found.keys()] };
  for (const { env, name, version } of found.values()) {
    changes.push({ action: "delete", env, name, version, differences: [], needs_promotion: false });
  }
  return { changes, unmanaged: [] };
}

function isGuarded(policy: unknown, env: string): boolean {
  const promotion = isJsonObject(policy) ? policy["promotion"] : undefined;
  const required = isJsonObject(promotion) ? promotion["required"] : undefined;
  return required === true || (Array.isArray(required) && required.includes(env));
}

/** Member by member, in the order of the document. Elements of arrays are compared by position. */
export function differencesOf(before: unknown, after: unknown, path = ""): Difference[] {
  const [one, other] = [membersOf(before), membersOf(after)];
  if (one === null || other === null || Array.isArray(before) !== Array.isArray(after)) {
    if (before === after) return [];
    // An empty object or array has no members to show: it is one itself.
    if (before === undefined && other !== null && other.size > 0) return membersDiffer(new Map(), other, path, after);
    if (after === undefined && one !== null && one.size > 0) return membersDiffer(one, new Map(), path, before);
    return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
  }
  return membersDiffer(one, other, path, after);
}

function membersDiffer(
  one: ReadonlyMap<string, unknown>,
  other: ReadonlyMap<string, unknown>,
  path: string,
  shape: unknown,
): Difference[] {
  const names = new Set([...other.keys(), ...one.keys()]);
  const isArray = Array.isArray(shape);
  return [...names].flatMap((name) =>
    differencesOf(
      one.get(name),
      other.get(name),
      isArray ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`,
    ),
  );
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> | null {
  return Array.isArray(value) || isJsonObject(value) ? new Map(Object.entries(value)) : null;
}

const MARKS = { create: "+", update: "~", delete: "-" } as const;

/** The plan as a person reads it. */
export function showPlan({ changes, unmanaged }: Plan): string {
  const lines = changes.flatMap(({ action, env, name, version, differences, needs_promotion }) => [
    `${MARKS[action]} ${env}/${name} ${action}${version === 0 ? "" : ` (active version ${version})`}`,
    ...(needs_promotion
      ? ["    takes changes by promotion only: promote a tried version, or use --force <reason>"]
      : []),
    ...differences.map(showDifference),
  ]);
  if (changes.length === 0) lines.push("Nothing to do: the host has what the files say.");
  const rest = unmanaged.map((route) => `  ${route} has no file and stays as it is (--prune would delete it)`);
  return `${[...lines, ...rest].join("\n")}\n`;
}

function showDifference({ path, ...values }: Difference): string {
  const text = (value: unknown): string => safe(JSON.stringify(value));
  if (!("before" in values)) return `    + ${safe(path)}: ${text(values.after)}`;
  if (!("after" in values)) return `    - ${safe(path)}: ${text(values.before)}`;
  return `    ~ ${safe(path)}: ${text(values.before)} -> ${text(values.after)}`;
}
