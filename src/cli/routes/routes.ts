/** `routes`: what is active, where it came from and how it fares; promotions and rollbacks. */
import { isJsonObject } from "../../lib/json.ts";
import { previousVersion, type VersionStep } from "../../policy/previous-version.ts";
import { type Client, type Json, listAll, RefusedError } from "../client.ts";
import { type CommandInput, encode, routePath, wholeNumber } from "../input.ts";
import { type Column, record, table } from "../table.ts";
import { CommandError, EXIT_BLOCKED, EXIT_ERROR, EXIT_OK, EXIT_PENDING } from "../terminal.ts";
import { jsonText, safe } from "../text.ts";
import { type LiveRoute, planOf, showPlan } from "./plan.ts";

const ROUTE: readonly Column<Json>[] = [
  { title: "ENV", value: ({ env }) => env, whole: true },
  { title: "ROUTE", value: ({ name }) => name, whole: true },
  { title: "VERSION", value: ({ version }) => version },
  { title: "TARGETS", value: targets },
  { title: "CREATED", value: ({ created_at }) => created_at, as: "time", spare: 1 },
  { title: "BY", value: ({ actor }) => actor, spare: 2 },
];

export async function listRoutes(input: CommandInput): Promise<number> {
  const env = input.text("env");
  const all = await listAll(input.client(), "/admin/routes");
  const routes = all.filter((route) => env === undefined || route["env"] === env);
  input.printRows(ROUTE, routes, "There are no routes. Make one: flow-layer routes apply");
  return EXIT_OK;
}

function targets({ policy }: Json): string[] {
  const listed = isJsonObject(policy) ? policy["targets"] : undefined;
  return Array.isArray(listed) ? listed.filter(isJsonObject).map((each) => `${each["provider"]}/${each["model"]}`) : [];
}

export async function getRoute(input: CommandInput): Promise<number> {
  const [route = "", version] = input.words;
  const { path } = routePath(route);
  const at = wholeNumber("The version", version);
  const found = await input.client().call("GET", at === undefined ? path : `${path}/versions/${at}`);
  const { env, name, version: number, active, created_at, actor, origin, policy } = found;
  input.print(found, () => {
    const route = `${String(env)}/${String(name)}`;
    const members = { route, version: number, active, created_at, actor, origin: originText(origin) };
    return `${record(Object.entries(members))}\n${jsonText(policy)}`;
  });
  return EXIT_OK;
}

export async function listVersions(input: CommandInput): Promise<number> {
  const { path } = routePath(input.words[0] ?? "");
  const columns: readonly Column<Json>[] = [
    { title: "VERSION", value: ({ version, active }) => `${String(version)}${active === true ? " active" : ""}` },
    { title: "CREATED", value: ({ created_at }) => created_at, as: "time" },
    { title: "BY", value: ({ actor }) => actor },
    { title: "FROM", value: ({ origin }) => originText(origin) },
    { title: "TARGETS", value: targets },
  ];
  input.printRows(columns, await listAll(input.client(), `${path}/versions`), "There are no versions.");
  return EXIT_OK;
}

function originText(origin: unknown): string | null {
  if (!isJsonObject(origin)) return null;
  const from = isJsonObject(origin["from"])
    ? ` of ${String(origin["from"]["env"])}@${String(origin["from"]["version"])}`
    : "";
  return `${String(origin["kind"])}${from}`;
}

export async function showEvidence(input: CommandInput): Promise<number> {
  const { path } = routePath(input.words[0] ?? "");
  const query = new URLSearchParams(input.filters(["version", "window-hours"]));
  const evidence = await input
    .client()
    .call("GET", query.size === 0 ? `${path}/evidence` : `${path}/evidence?${query}`);
  const { errors, ...members } = evidence;
  const columns: readonly Column<Json>[] = [
    { title: "ERROR", value: (row) => row["class"] },
    { title: "PROVIDER", value: ({ provider }) => provider },
    { title: "COUNT", value: ({ count }) => count },
  ];
  const rows = Array.isArray(errors) ? errors.filter(isJsonObject) : [];
  const shown = Object.entries(members).map(([name, value]) => [name, rounded(value)] as const);
  input.print(evidence, () => `${record(shown)}\n${table(columns, rows, "No errors.", input.look)}`);
  return EXIT_OK;
}

/** Rates to four places; the JSON has all of them. */
const rounded = (value: unknown): unknown =>
  typeof value === "number" && value > 0.001 ? Number(value.toFixed(4)) : value;

export const toLiveRoute = ({ env, name, version, policy }: Json): LiveRoute => {
  if (typeof env === "string" && typeof name === "string" && typeof version === "number") {
    return { env, name, version, policy };
  }
  throw new CommandError("The host's list of routes is not one that this command understands.");
};

export async function promoteRoute(input: CommandInput): Promise<number> {
  const [name = ""] = input.words;
  const [from, to, reason] = [input.required("from"), input.required("to"), input.text("force")];
  const client = input.client();
  if (input.has("dry-run")) return previewPromotion(input, client, name, from, to);
  const request = { from, to, ...(reason === undefined ? {} : { force: true, reason }) };
  const query = input.has("new-env") ? "?new_env=true" : "";
  const call = { body: JSON.stringify(request) };
  try {
    const promoted = await client.call("POST", `/admin/routes/${encode(name)}/promote${query}`, call);
    const forced = promoted["forced"] === true ? ", forced" : "";
    const shown = `Promoted on ${client.origin}: ${to}/${safe(name)}${versionOf(promoted)}${forced}.\n`;
    input.print(promoted, () => `${gates(input, promoted["gates"])}${shown}`);
    return EXIT_OK;
  } catch (error) {
    if (!(error instanceof RefusedError) || error.exitCode !== EXIT_BLOCKED) throw error;
    input.print({ error: error.details }, () => gates(input, error.details["gates"]));
    error.isReported = true;
    throw error;
  }
}

/** What a promotion would change, and what the candidate's traces show. Changes nothing. */
async function previewPromotion(input: CommandInput, client: Client, name: string, from: string, to: string) {
  const path = (env: string): string => `/admin/routes/${encode(env)}/${encode(name)}`;
  const candidate = await client.call("GET", path(from));
  const active = await client.call("GET", path(to)).catch((error: unknown) => {
    if (error instanceof RefusedError && error.status === 404) return null;
    throw error;
  });
  const evidence = await client.call("GET", `${path(from)}/evidence`);
  const live = active === null ? [] : [toLiveRoute(active)];
  const plan = planOf([{ env: to, name, text: "", policy: candidate["policy"] }], live, false);
  // A promotion is what the guard asks for.
  const changes = plan.changes.map((change) => ({ ...change, needs_promotion: false }));
  const { text: _text, ...shown } = changes[0] ?? {};
  input.print({ change: changes.length === 0 ? null : shown, evidence }, () => {
    const { version, requests, success_rate, success_lower_bound, total_ms, cost_usd_per_request } = evidence;
    const members = { version, requests, success_rate, success_lower_bound, total_ms, cost_usd_per_request };
    return `${showPlan({ changes, unmanaged: [] })}\nEvidence in ${safe(from)}\n${record(Object.entries(members))}`;
  });
  return changes.length === 0 ? EXIT_OK : EXIT_PENDING;
}

export const versionOf = (result: Json | undefined): string =>
  result?.["version"] === undefined ? "" : ` (now version ${String(result["version"])})`;

function gates(input: CommandInput, value: unknown): string {
  const rows = Array.isArray(value) ? value.filter(isJsonObject) : [];
  const columns: readonly Column<Json>[] = [
    { title: "GATE", value: ({ name }) => name, whole: true },
    { title: "WANTED", value: ({ wanted }) => wanted },
    { title: "MEASURED", value: ({ measured }) => measured },
    {
      title: "PASSED",
      value: ({ passed }) => (passed === true ? "yes" : "NO"),
      colour: ({ passed }) => (passed === true ? "green" : "red"),
    },
  ];
  return rows.length === 0 ? "" : table(columns, rows, "", input.look);
}

export async function rollBackRoute(input: CommandInput): Promise<number> {
  const [route = "", text] = input.words;
  const { env, name, path } = routePath(route);
  const client = input.client();
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
  const body = JSON.stringify({ version, reason: input.text("reason") });
  const rolledBack = await client.call("POST", `${path}/rollback`, { body, ifMatch: String(active["version"]) });
  input.print(rolledBack, () => `Rolled back on ${client.origin}: ${safe(route)}${versionOf(rolledBack)}.\n`);
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
  throw new CommandError(
    "There is no earlier version to roll back to. Publish another policy: routes apply.",
    EXIT_ERROR,
  );
}
