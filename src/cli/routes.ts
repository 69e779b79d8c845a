/** `flow routes`: policies kept in files, compared with a host and applied to it; promotions and rollbacks. */
import { isJsonObject } from "../lib/json.ts";
import { previousVersion, type VersionStep } from "../policy/previous-version.ts";
import { type Client, type Json, listAll, RefusedError } from "./client.ts";
import { type CommandInput, encode, wholeNumber } from "./options.ts";
import { type Change, type LiveRoute, type Plan, planOf, showPlan } from "./plan.ts";
import { readPolicies } from "./policies.ts";
import { CommandError, EXIT_BLOCKED, EXIT_ERROR, EXIT_OK, EXIT_PENDING, safe, table } from "./terminal.ts";

const DEFAULT_FOLDER = "policies";

export async function listRoutes(input: CommandInput): Promise<number> {
  const env = input.text("env");
  const all = await listAll(input.client(), "/admin/routes");
  const routes = all.filter((route) => env === undefined || route["env"] === env);
  input.print(routes, () =>
    table(
      ["ENV", "ROUTE", "VERSION", "TARGETS", "CREATED", "BY"],
      routes.map((route) => [
        route["env"],
        route["name"],
        route["version"],
        targets(route),
        route["created_at"],
        route["actor"],
      ]),
      "There are no routes.",
    ),
  );
  return EXIT_OK;
}

function targets({ policy }: Json): string[] {
  const listed = isJsonObject(policy) ? policy["targets"] : undefined;
  return Array.isArray(listed) ? listed.filter(isJsonObject).map((each) => `${each["provider"]}/${each["model"]}`) : [];
}

export async function diffRoutes(input: CommandInput): Promise<number> {
  const plan = await planFor(input, input.client());
  input.print(planBody(plan), () => showPlan(plan));
  return plan.changes.length === 0 ? EXIT_OK : EXIT_PENDING;
}

/** The plan is shown before anything is asked or changed. Each change holds only for the version the plan was made on. */
export async function applyRoutes(input: CommandInput): Promise<number> {
  const client = input.client();
  const plan = await planFor(input, client);
  const force = input.text("force");
  const isJson = input.has("json");
  if (isJson) input.terminal.writeError(showPlan(plan));
  else input.terminal.write(showPlan(plan));
  if (plan.changes.length > 0) {
    refuseGuarded(plan, force);
    await input.confirm(`Apply ${plan.changes.length} change(s) to ${client.origin}?`);
  }
  const done: Json[] = [];
  for (const [at, change] of plan.changes.entries()) {
    try {
      done.push(await apply(client, change, force));
    } catch (error) {
      const rest = plan.changes.slice(at).map(({ env, name }) => `${env}/${name}`);
      if (isJson) input.print({ applied: done, not_applied: rest }, () => "");
      throw stopped(error, rest);
    }
    const { action, env, name } = change;
    if (!isJson) input.terminal.write(`done: ${action} ${env}/${name}${versionOf(done.at(-1))}\n`);
  }
  if (isJson) input.print({ applied: done, not_applied: [] }, () => "");
  return EXIT_OK;
}

const versionOf = (result: Json | undefined): string =>
  result?.["version"] === undefined ? "" : ` (now version ${String(result["version"])})`;

function refuseGuarded({ changes }: Plan, force: string | undefined): void {
  const guarded = changes.filter((change) => change.needs_promotion).map(({ env, name }) => `${env}/${name}`);
  if (guarded.length === 0 || force !== undefined) return;
  const message = `Nothing was changed: ${guarded.join(", ")} takes changes by promotion only. Use \`flow routes promote\`, or --force <reason>.`;
  throw new CommandError(message, EXIT_BLOCKED);
}

async function apply(client: Client, { action, env, name, version, text, needs_promotion }: Change, force?: string) {
  const path = `/admin/routes/${encode(env)}/${encode(name)}`;
  const ifMatch = String(version);
  const reason = force === undefined ? "" : `?reason=${encodeURIComponent(force)}`;
  if (action === "delete" || text === undefined) {
    await client.call("DELETE", `${path}${reason}`, { ifMatch });
    return { action, env, name };
  }
  // A deleted route may have a guard that the plan could not see, so a reason is sent with a creation, too.
  const mayForce = force !== undefined && (needs_promotion || action === "create");
  const query = mayForce ? `?force=${encodeURIComponent(force)}` : reason;
  const route = await client.call("PUT", `${path}${query}`, { body: text, ifMatch });
  return { action, env, name, version: route["version"] };
}

function stopped(error: unknown, rest: readonly string[]): unknown {
  if (!(error instanceof CommandError)) return error;
  const hint =
    error instanceof RefusedError && error.status === 412 ? " Somebody changed it meanwhile: run this again." : "";
  return new CommandError(`${rest[0]}: ${error.message}${hint} Not applied: ${rest.join(", ")}.`, error.exitCode);
}

async function planFor(input: CommandInput, client: Client): Promise<Plan> {
  const folder = input.text("dir") ?? DEFAULT_FOLDER;
  const { environments, files } = await readPolicies(input.terminal.directory, folder, input.list("env"));
  const routes = await listAll(client, "/admin/routes");
  const live = routes.map(toLiveRoute).filter(({ env }) => environments.includes(env));
  return planOf(files, live, input.has("prune"));
}

function toLiveRoute({ env, name, version, policy }: Json): LiveRoute {
  if (typeof env === "string" && typeof name === "string" && typeof version === "number") {
    return { env, name, version, policy };
  }
  throw new CommandError("The host's list of routes is not one that this command understands.");
}

const planBody = ({ changes, unmanaged }: Plan) => ({
  changes: changes.map(({ text: _text, ...change }) => change),
  unmanaged,
});

export async function promoteRoute(input: CommandInput): Promise<number> {
  const [name = ""] = input.words;
  const [from, to, reason] = [input.text("from"), input.text("to"), input.text("force")];
  if (from === undefined || to === undefined) throw new CommandError("Say --from <env> and --to <env>.");
  const request = { from, to, ...(reason === undefined ? {} : { force: true, reason }) };
  const call = { body: JSON.stringify(request) };
  try {
    const promoted = await input.client().call("POST", `/admin/routes/${encode(name)}/promote`, call);
    const forced = promoted["forced"] === true ? ", forced" : "";
    input.print(
      promoted,
      () => `${gates(promoted["gates"])}Promoted: ${to}/${safe(name)}${versionOf(promoted)}${forced}.\n`,
    );
    return EXIT_OK;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.exitCode !== EXIT_BLOCKED) throw error;
    input.print({ error: error.details }, () => gates(error.details["gates"]));
    throw error;
  }
}

function gates(value: unknown): string {
  const rows = Array.isArray(value) ? value.filter(isJsonObject) : [];
  if (rows.length === 0) return "";
  const cells = rows.map((gate) => [
    gate["name"],
    gate["wanted"],
    gate["measured"],
    gate["passed"] === true ? "yes" : "NO",
  ]);
  return table(["GATE", "WANTED", "MEASURED", "PASSED"], cells, "");
}

export async function rollBackRoute(input: CommandInput): Promise<number> {
  const [route = "", text] = input.words;
  const [env = "", name = "", ...more] = route.split("/");
  if (env === "" || name === "" || more.length > 0) throw new CommandError("Name the route as <env>/<route>.");
  const client = input.client();
  const path = `/admin/routes/${encode(env)}/${encode(name)}`;
  const active = await client.call("GET", path);
  const version = wholeNumber("The version", text) ?? (await versionBefore(client, path, active));
  const plan = planOf(
    [{ env, name, text: "", policy: (await client.call("GET", `${path}/versions/${version}`))["policy"] }],
    [toLiveRoute(active)],
    false,
  );
  // A version that was in force before needs no promotion, whatever the active policy asks of others.
  const changes = plan.changes.map((change) => ({ ...change, needs_promotion: false }));
  const show =
    changes.length === 0 ? `~ ${safe(route)} (the policy is the same)\n` : showPlan({ changes, unmanaged: [] });
  input.terminal.writeError(`Back to version ${version}:\n${show}`);
  await input.confirm(`Roll ${safe(route)} back on ${client.origin}?`);
  const call = { body: JSON.stringify({ version }), ifMatch: String(active["version"]) };
  const rolledBack = await client.call("POST", `${path}/rollback`, call);
  input.print(rolledBack, () => `Rolled back: ${safe(route)}${versionOf(rolledBack)}.\n`);
  return EXIT_OK;
}

/** The version that the host would go back to by itself. */
async function versionBefore(client: Client, path: string, active: Json): Promise<number> {
  const steps = (await listAll(client, `${path}/versions`)).map(({ version, origin }): VersionStep => {
    const from = isJsonObject(origin) && origin["kind"] === "rollback" ? origin["from"] : undefined;
    return { version: Number(version), repeats: isJsonObject(from) ? Number(from["version"]) : null };
  });
  const version = previousVersion(steps, Number(active["version"]));
  if (version !== null) return version;
  throw new CommandError("There is no earlier version to roll back to.", EXIT_ERROR);
}
