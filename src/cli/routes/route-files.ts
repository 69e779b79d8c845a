/** `routes diff`, `apply` and `pull`: policies kept in files, compared with a host, applied to it and fetched from it. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isJsonObject } from "../../lib/json.ts";
import { type Client, type Json, listAll, RefusedError } from "../client.ts";
import { type CommandInput, encode, wholeNumber } from "../input.ts";
import { CommandError, EXIT_BLOCKED, EXIT_ERROR, EXIT_OK, EXIT_PENDING } from "../terminal.ts";
import { safe } from "../text.ts";
import { type Change, differencesOf, type Plan, planOf, showPlan } from "./plan.ts";
import { checkPolicy, readPolicies } from "./policies.ts";
import { toLiveRoute, versionOf } from "./routes.ts";

const DEFAULT_FOLDER = "policies";

export async function diffRoutes(input: CommandInput): Promise<number> {
  const plan = await planFor(input, input.client());
  input.print(planBody(plan), () => showPlan(plan));
  return plan.changes.length === 0 ? EXIT_OK : EXIT_PENDING;
}

const planBody = ({ changes, unmanaged }: Plan) => ({
  changes: changes.map(({ text: _text, ...change }) => change),
  unmanaged,
});

/** The plan is shown before anything is asked or changed. Each change holds only for the version the plan was made on. */
export async function applyRoutes(input: CommandInput): Promise<number> {
  const client = input.client();
  const plan = await planFor(input, client);
  const force = input.text("force");
  if (input.isJson) input.terminal.writeError(showPlan(plan));
  else input.terminal.write(showPlan(plan));
  refuseUncounted(plan, input);
  if (plan.changes.length > 0) {
    refuseGuarded(plan, force);
    await input.confirm(`Apply ${plan.changes.length} change(s) to ${client.origin}?`);
  }
  const done: Json[] = [];
  for (const [at, change] of plan.changes.entries()) {
    try {
      done.push(await apply(client, change, force, input.has("new-env")));
    } catch (error) {
      const rest = plan.changes.slice(at).map(({ env, name }) => `${env}/${name}`);
      throw stopped(error, rest, input, done);
    }
    const { action, env, name } = change;
    const result = done.at(-1);
    if (!input.isJson) input.terminal.write(`done: ${action} ${env}/${name}${versionOf(result)}\n`);
    for (const { message } of warningsOf(result)) {
      input.terminal.writeError(`warning: ${safe(`${env}/${name}`)}: ${safe(String(message))}\n`);
    }
  }
  if (input.isJson) input.print({ applied: done, not_applied: [] }, () => "");
  return EXIT_OK;
}

const warningsOf = (result: Json | undefined): Json[] =>
  Array.isArray(result?.["warnings"]) ? result["warnings"].filter(isJsonObject) : [];

/** The caller states how many deletions are meant: a folder that lacks a file by mistake must not delete its route. */
function refuseUncounted({ changes }: Plan, input: CommandInput): void {
  const deleted = changes.filter(({ action }) => action === "delete");
  if (deleted.length === 0) return;
  const counted = wholeNumber("--prune", input.text("prune"), 0);
  if (counted === deleted.length) return;
  const names = deleted.map(({ env, name }) => `${env}/${name}`).join(", ");
  throw new CommandError(
    `Nothing was changed: ${deleted.length} route(s) would be deleted: ${names}. Say so: --prune ${deleted.length}`,
    EXIT_PENDING,
  );
}

function refuseGuarded({ changes }: Plan, force: string | undefined): void {
  const guarded = changes.filter((change) => change.needs_promotion).map(({ env, name }) => `${env}/${name}`);
  if (guarded.length === 0 || force !== undefined) return;
  const message = `Nothing was changed: ${guarded.join(", ")} takes changes by promotion only. Use \`flow-layer routes promote\`, or --force <reason>.`;
  throw new CommandError(message, EXIT_BLOCKED);
}

async function apply(client: Client, change: Change, force: string | undefined, newEnv: boolean): Promise<Json> {
  const { action, env, name, version, text, needs_promotion } = change;
  const path = `/admin/routes/${encode(env)}/${encode(name)}`;
  const ifMatch = String(version);
  const query = new URLSearchParams();
  // A deleted route may have a guard that the plan could not see, so a reason is sent with a creation, too.
  const mayForce = needs_promotion || action === "create";
  if (force !== undefined) query.set(text !== undefined && mayForce ? "force" : "reason", force);
  if (newEnv && action === "create") query.set("new_env", "true");
  const address = query.size === 0 ? path : `${path}?${query}`;
  if (action === "delete" || text === undefined) {
    await client.call("DELETE", address, { ifMatch });
    return { action, env, name };
  }
  const route = await client.call("PUT", address, { body: text, ifMatch });
  const warnings = warningsOf(route);
  return { action, env, name, version: route["version"], ...(warnings.length === 0 ? {} : { warnings }) };
}

function stopped(error: unknown, rest: readonly string[], input: CommandInput, done: readonly Json[]): unknown {
  if (!(error instanceof CommandError)) return error;
  const hint =
    error instanceof RefusedError && error.status === 412 ? " Somebody changed it meanwhile: run this again." : "";
  const message = `${rest[0]}: ${error.message}${hint} Not applied: ${rest.join(", ")}.`;
  const ended = new CommandError(message, error.exitCode);
  if (input.isJson) {
    input.print({ applied: done, not_applied: rest, error: { message } }, () => "");
    ended.isReported = true;
  }
  return ended;
}

async function planFor(input: CommandInput, client: Client): Promise<Plan> {
  const folder = input.text("dir") ?? DEFAULT_FOLDER;
  const { environments, files } = await readPolicies(input.terminal.directory, folder, input.list("env"));
  const routes = await listAll(client, "/admin/routes");
  const live = routes.map(toLiveRoute).filter(({ env }) => environments.includes(env));
  return planOf(files, live, input.has("prune") || input.text("prune") !== undefined);
}

/** Writes the active policies as files. A file that says the same stays as it is, one that says something else is asked for. */
export async function pullRoutes(input: CommandInput): Promise<number> {
  const folder = input.text("dir") ?? DEFAULT_FOLDER;
  const only = input.list("env");
  const client = input.client();
  const routes = (await listAll(client, "/admin/routes")).map(toLiveRoute);
  const wanted = routes.filter(({ env }) => only.length === 0 || only.includes(env));
  const schema = `${client.origin}/policy.schema.json`;
  const writes: { readonly file: string; readonly text: string; readonly replaces: boolean }[] = [];
  for (const { env, name, policy } of wanted) {
    // The host's answer names the place: it must not lead out of the folder.
    if ([env, name].some((each) => encode(each) !== each))
      throw new CommandError(`${safe(name)} is no name of a route.`);
    const file = join(folder, env, `${name}.json`);
    const text = await readFile(resolve(input.terminal.directory, file), "utf8").catch(() => null);
    const checked = text === null ? null : checkPolicy(text, env, name);
    const isSame =
      checked !== null && typeof checked !== "string" && differencesOf(checked.policy, policy).length === 0;
    if (isSame) continue;
    const written = `${JSON.stringify({ $schema: schema, ...(isJsonObject(policy) ? policy : {}) }, null, 2)}\n`;
    writes.push({ file, text: written, replaces: text !== null });
  }
  const replaced = writes.filter(({ replaces }) => replaces);
  if (replaced.length > 0) {
    await input.confirm(`Replace ${replaced.length} file(s): ${replaced.map(({ file }) => safe(file)).join(", ")}?`);
  }
  for (const { file, text } of writes) {
    const path = resolve(input.terminal.directory, file);
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    } catch {
      throw new CommandError(`${safe(file)} cannot be written.`, EXIT_ERROR);
    }
  }
  input.print({ written: writes.map(({ file }) => file) }, () =>
    writes.length === 0
      ? `Nothing to do: the files say what ${client.origin} has.\n`
      : writes.map(({ file }) => `written: ${safe(file)}\n`).join(""),
  );
  return EXIT_OK;
}
