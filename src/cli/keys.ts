/** `flow keys`: issue, list, rotate and revoke API keys. A key's secret is written once, to the standard output, and kept nowhere. */
import { isJsonObject } from "../lib/json.ts";
import { type Json, listAll } from "./client.ts";
import { type CommandInput, encode, wholeNumber } from "./options.ts";
import { CommandError, EXIT_OK, record, safe, table } from "./terminal.ts";

/** `10/month` */
const BUDGET = /^([0-9]+(?:\.[0-9]+)?)\/(day|month|total)$/;

export async function listKeys(input: CommandInput): Promise<number> {
  const env = input.text("env");
  const all = await listAll(input.client(), "/admin/keys");
  const keys = all.filter((key) => env === undefined || key["env"] === env);
  const titles = ["ID", "NAME", "ENV", "STATUS", "APPS", "ROUTES", "SCOPES", "BUDGET", "EXPIRES"];
  const row = (key: Json): unknown[] => {
    const { id, name, status, apps, routes, scopes, expires_at } = key;
    return [
      id,
      name,
      key["env"],
      status,
      apps ?? "any",
      routes ?? "any",
      scopes,
      budgetText(key["budget"]),
      expires_at,
    ];
  };
  input.print(keys, () => table(titles, keys.map(row), "There are no keys."));
  return EXIT_OK;
}

const budgetText = (budget: unknown): string | null =>
  isJsonObject(budget) ? `${String(budget["limit_usd"])} USD/${String(budget["period"])}` : null;

export async function createKey(input: CommandInput): Promise<number> {
  const request = keyRequest(input);
  const created = await input.client().call("POST", "/admin/keys", { body: JSON.stringify(request) });
  const { id, name, env, scopes, expires_at, key } = created;
  const members = { id, name, env, scopes, budget: budgetText(created["budget"]), expires_at, key };
  input.print(created, () => record(Object.entries(members)));
  input.terminal.writeError("The key is shown this once. Keep it in a secret store.\n");
  return EXIT_OK;
}

function keyRequest(input: CommandInput): Json {
  const [name, env] = [input.text("name"), input.text("env")];
  if (name === undefined || env === undefined) throw new CommandError("Say --name <text> and --env <env>.");
  const lists = { apps: input.list("app"), routes: input.list("route"), scopes: input.list("scope") };
  const limits = {
    requests_per_minute: wholeNumber("--rpm", input.text("rpm")),
    tokens_per_minute: wholeNumber("--tpm", input.text("tpm")),
    concurrency: wholeNumber("--concurrency", input.text("concurrency")),
  };
  return {
    name,
    env,
    ...Object.fromEntries(Object.entries(lists).filter(([, items]) => items.length > 0)),
    ...(Object.values(limits).every((limit) => limit === undefined) ? {} : { limits }),
    budget: budgetOf(input.text("budget")),
    expires_at: input.text("expires"),
  };
}

function budgetOf(text: string | undefined): Json | undefined {
  if (text === undefined) return undefined;
  const [, amount, period] = BUDGET.exec(text) ?? [];
  if (amount === undefined) throw new CommandError("--budget must be USD per day, month or total, such as 10/month.");
  return { limit_usd: Number(amount), period };
}

export async function rotateKey(input: CommandInput): Promise<number> {
  const [id = ""] = input.words;
  const overlap = wholeNumber("--overlap", input.text("overlap"), 0);
  const body = JSON.stringify(overlap === undefined ? {} : { overlap_seconds: overlap });
  const rotated = await input.client().call("POST", `/admin/keys/${encode(id)}/rotate`, { body });
  const { previous_expires_at, key } = rotated;
  input.print(rotated, () => record(Object.entries({ id, previous_expires_at, key })));
  input.terminal.writeError("The key is shown this once. The one before works until the time above.\n");
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
  input.print({ id, name, env, status: "revoked" }, () => `Revoked: ${shown}.\n`);
  return EXIT_OK;
}
