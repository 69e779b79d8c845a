/** `keys`: issue, look at, change, rotate, pause and revoke API keys. A key's secret is written once, to the standard output, and kept nowhere. */
import { isJsonObject } from "../../lib/json.ts";
import { type Json, listAll } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Colour, type Column, record } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

/** `10/month` */
const BUDGET = /^([0-9]{1,9}(?:\.[0-9]{1,9})?)\/(day|week|month|total)$/;

const COLUMNS: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "NAME", value: ({ name }) => name },
  { title: "ENV", value: ({ env }) => env },
  { title: "STATUS", value: ({ status }) => status, colour: ({ status }) => colourOf(status) },
  { title: "BUDGET", value: ({ budget }) => budgetText(budget), spare: 1 },
  { title: "LIMITS", value: ({ limits }) => limitsText(limits), spare: 4 },
  { title: "APPS", value: ({ apps }) => apps ?? "any", spare: 3 },
  { title: "ROUTES", value: ({ routes }) => routes ?? "any", spare: 2 },
  { title: "EXPIRES", value: ({ expires_at }) => expires_at, as: "time", spare: 5 },
];

const colourOf = (status: unknown): Colour | null =>
  status === "active" ? "green" : status === "revoked" || status === "expired" ? "dim" : "yellow";

export async function listKeys(input: CommandInput): Promise<number> {
  const [env, status] = [input.text("env"), input.text("status")];
  const all = await listAll(input.client(), "/admin/keys");
  const keys = all
    .filter((key) => env === undefined || key["env"] === env)
    .filter((key) => status === undefined || key["status"] === status);
  input.printRows(COLUMNS, keys, "There are no keys. Make one: flow-layer keys create --name <text> --env <env>");
  return EXIT_OK;
}

const budgetText = (budget: unknown): string | null =>
  isJsonObject(budget) ? `${String(budget["limit_usd"])} USD/${String(budget["period"])}` : null;

const UNITS: Readonly<Record<string, string>> = {
  requests_per_minute: "rpm",
  tokens_per_minute: "tpm",
  concurrency: "at once",
};

function limitsText(limits: unknown): string | null {
  if (!isJsonObject(limits)) return null;
  const set = Object.entries(limits).filter(([, limit]) => typeof limit === "number");
  return set.length === 0 ? null : set.map(([name, limit]) => `${String(limit)} ${UNITS[name] ?? name}`).join(", ");
}

function keyText(key: Json): string {
  const { id, name, env, status, scopes, created_at, expires_at, spend, previous_expires_at } = key;
  return record([
    ...Object.entries({ id, name, env, status }),
    ["apps", key["apps"] ?? "any"],
    ["routes", key["routes"] ?? "any"],
    ["scopes", scopes],
    ["budget", budgetText(key["budget"])],
    ["limits", limitsText(key["limits"])],
    ...Object.entries({ created_at, expires_at, spend, previous_expires_at, key: key["key"] }),
  ]);
}

export async function getKey(input: CommandInput): Promise<number> {
  const key = await input.client().call("GET", `/admin/keys/${encode(input.words[0] ?? "")}`);
  input.print(key, () => keyText(key));
  return EXIT_OK;
}

export async function createKey(input: CommandInput): Promise<number> {
  const members = membersOf(input);
  const request = { name: input.required("name"), env: input.required("env"), ...members };
  const client = input.client();
  const query = input.has("new-env") ? "?new_env=true" : "";
  const created = await client.call("POST", `/admin/keys${query}`, { body: JSON.stringify(request) });
  input.print(created, () => keyText(created));
  input.terminal.writeError(`Made on ${client.origin}. The key is shown this once. Keep it in a secret store.\n`);
  return EXIT_OK;
}

/** What the options say of a key; members that were not named are left out. */
function membersOf(input: CommandInput): Json {
  const lists = { apps: input.list("app"), routes: input.list("route"), scopes: input.list("scope") };
  const limits = {
    requests_per_minute: input.whole("rpm"),
    tokens_per_minute: input.whole("tpm"),
    concurrency: input.whole("concurrency"),
  };
  const budget = input.text("budget");
  const expires = input.text("expires");
  return {
    ...Object.fromEntries(Object.entries(lists).filter(([, items]) => items.length > 0)),
    ...(Object.values(limits).every((limit) => limit === undefined) ? {} : { limits }),
    ...(budget === undefined ? {} : { budget: budgetOf(budget) }),
    ...(expires === undefined ? {} : { expires_at: expires === "never" ? null : input.time("expires", true) }),
  };
}

function budgetOf(text: string): Json | null {
  if (text === "none") return null;
  const [, amount, period] = BUDGET.exec(text) ?? [];
  if (amount === undefined) {
    throw new CommandError("--budget must be USD per day, week, month or total, such as 10/month; or none.");
  }
  return { limit_usd: Number(amount), period };
}

export async function updateKey(input: CommandInput): Promise<number> {
  const name = input.text("name");
  const all = { apps: input.has("any-app"), routes: input.has("any-route"), limits: input.has("no-limits") };
  const cleared = Object.entries(all).flatMap(([member, isCleared]) => (isCleared ? [[member, null]] : []));
  const change = { ...(name === undefined ? {} : { name }), ...membersOf(input), ...Object.fromEntries(cleared) };
  if (Object.keys(change).length === 0) throw new CommandError("Say what to change, such as --budget 10/month.");
  return changeKey(input, change);
}

async function changeKey(input: CommandInput, change: Json): Promise<number> {
  const client = input.client();
  const path = `/admin/keys/${encode(input.words[0] ?? "")}`;
  const changed = await client.call("PATCH", path, { body: JSON.stringify(change) });
  input.print(changed, () => keyText(changed));
  input.terminal.writeError(`Changed on ${client.origin}; in force everywhere within 60 s.\n`);
  return EXIT_OK;
}

/** A paused key is refused like a revoked one, until it is resumed. */
export const pauseKey = (input: CommandInput): Promise<number> =>
  changeKey(input, { status: input.has("resume") ? "active" : "paused" });

export const resumeKey = (input: CommandInput): Promise<number> => changeKey(input, { status: "active" });

export async function rotateKey(input: CommandInput): Promise<number> {
  const [id = ""] = input.words;
  const overlap = input.whole("overlap", 0);
  const client = input.client();
  const body = JSON.stringify(overlap === undefined ? {} : { overlap_seconds: overlap });
  const rotated = await client.call("POST", `/admin/keys/${encode(id)}/rotate`, { body });
  const { previous_expires_at, key } = rotated;
  input.print(rotated, () => record(Object.entries({ id, previous_expires_at, key })));
  input.terminal.writeError(
    `Rotated on ${client.origin}. The key is shown this once. The one before works until the time above.\n`,
  );
  return EXIT_OK;
}

/** Permanent, so it is confirmed like a change of policies. */
export async function revokeKey(input: CommandInput): Promise<number> {
  const [id = ""] = input.words;
  const client = input.client();
  const path = `/admin/keys/${encode(id)}`;
  const { name, env, status } = await client.call("GET", path);
  const shown = `${safe(id)} (${safe(String(name))}, ${safe(String(env))})`;
  if (status !== "revoked") await input.confirm(`Revoke ${shown} on ${client.origin} permanently?`);
  // A key that is revoked already is revoked again: the first time may not have reached every place.
  await client.call("DELETE", path);
  input.print({ id, name, env, status: "revoked" }, () => `Revoked on ${client.origin}: ${shown}.\n`);
  return EXIT_OK;
}
