/** `prices`, `spend` and `budgets`: what calls cost, what was spent, and what may be. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { type Client, type Json, listAll, listPage, RefusedError, refused, rowsOf } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Column, record, table } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe, usdText } from "../text.ts";

const PRICE: readonly Column<Json>[] = [
  { title: "MODEL", value: ({ provider, model }) => `${String(provider)}/${String(model)}`, whole: true },
  { title: "INPUT/M", value: ({ input }) => input, as: "usd" },
  { title: "OUTPUT/M", value: ({ output }) => output, as: "usd" },
  { title: "CACHED/M", value: ({ cache_read }) => cache_read, as: "usd", spare: 3 },
  { title: "SOURCE", value: ({ source }) => source, spare: 1 },
  { title: "UNTIL", value: ({ valid_until }) => valid_until, as: "time", spare: 2 },
];

const WATCHED: readonly Column<Json>[] = [
  { title: "MODEL", value: ({ provider, model }) => `${String(provider)}/${String(model)}`, whole: true },
  { title: "REASON", value: ({ reason }) => reason },
  { title: "UNTIL", value: ({ valid_until }) => valid_until, as: "time" },
  { title: "SOURCE", value: ({ source }) => source, spare: 2 },
  { title: "ROUTES", value: ({ routes }) => routes, spare: 1 },
];

/** `openai/gpt-5.2` as a path; the model is all behind the first slash. */
function pricePath(target: string): string {
  const [provider = "", ...model] = target.split("/");
  if (provider === "" || model.length === 0) throw new CommandError("Name the model as <provider>/<model>.");
  return `/admin/prices/${encode(provider)}/${encode(model.join("/"))}`;
}

export async function listPrices(input: CommandInput): Promise<number> {
  const client = input.client();
  if (!input.has("watch")) {
    input.printRows(PRICE, await listAll(client, "/admin/prices"), "There are no prices of your own.");
    return EXIT_OK;
  }
  // All of them are one answer, which takes no `limit`.
  const { rows } = await listPage(client, "/admin/prices", new URLSearchParams([["watch", "true"]]));
  input.printRows(WATCHED, rows, "No price ends within 14 days, and every target has one.");
  return EXIT_OK;
}

const ROW: readonly Column<Json>[] = [
  { title: "ROW", value: ({ row }) => row, whole: true },
  { title: "INPUT/M", value: ({ input }) => input, as: "usd" },
  { title: "OUTPUT/M", value: ({ output }) => output, as: "usd" },
  { title: "FROM", value: ({ valid_from }) => valid_from, as: "time", spare: 1 },
  { title: "UNTIL", value: ({ valid_until }) => valid_until, as: "time", spare: 2 },
  { title: "BY", value: ({ updated_by }) => updated_by, spare: 3 },
];

/** What holds now, and below it all that operators set: a row that is still to come is among them. */
function priceText(input: CommandInput, { rows, set: _set, ...price }: Json): string {
  const own = rowsOf({ data: rows });
  return `${record(Object.entries(price))}${own.length === 0 ? "" : `\n${table(ROW, own, "", input.look)}`}`;
}

export async function getPrice(input: CommandInput): Promise<number> {
  const price = await input.client().call("GET", pricePath(input.words[0] ?? ""));
  input.print(price, () => priceText(input, price));
  return EXIT_OK;
}

/** What a command names; the members of `LISTS` are set over HTTP. */
const MEMBERS = [
  ...(["input", "output", "cache_read", "cache_write", "cache_write_1h", "audio_in", "audio_out"] as const),
  ...(["reasoning", "per_request"] as const),
];
const LISTS = ["tiers", "service_tiers"] as const;

/** The operators' own price in force, as it can be set again: a price replaces the one before whole. */
async function ownPrice(client: Client, path: string): Promise<Json> {
  const price = await client.call("GET", path).catch((error: unknown): Json => {
    if (error instanceof RefusedError && error.status === 404) return {};
    throw error;
  });
  if (price["source"] !== "operator") return {};
  return Object.fromEntries([...MEMBERS, ...LISTS].flatMap((name) => (name in price ? [[name, price[name]]] : [])));
}

/** Changes what is named and keeps the rest of an own price. */
export async function setPrice(input: CommandInput): Promise<number> {
  const path = pricePath(input.words[0] ?? "");
  const client = input.client();
  const named = Object.fromEntries(
    MEMBERS.flatMap((name) => {
      const value = input.usd(name.replaceAll("_", "-"));
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const kept = input.has("replace") ? {} : await ownPrice(client, path);
  const price_usd: Json = { ...kept, ...named };
  if (price_usd["input"] === undefined || price_usd["output"] === undefined) {
    throw new CommandError("Say --input <usd> and --output <usd>, per million tokens.");
  }
  const times = { valid_from: input.time("valid-from", true), valid_until: input.time("valid-until", true) };
  const price = await client.call("PUT", path, { body: JSON.stringify({ ...price_usd, ...times }) });
  input.print(price, () => priceText(input, price));
  const others = Object.keys(kept).filter((name) => !Object.hasOwn(named, name));
  if (others.length > 0) {
    input.terminal.writeError(`Kept as they were: ${others.map(safe).join(", ")}. With --replace they go.\n`);
  }
  input.terminal.writeError(`In force on ${client.origin} within 60 s.\n`);
  return EXIT_OK;
}

export async function deletePrice(input: CommandInput): Promise<number> {
  const client = input.client();
  const [target = ""] = input.words;
  const path = pricePath(target);
  await input.confirm(`Delete your price of ${safe(target)} on ${client.origin}? The catalogue's holds again.`);
  await client.call("DELETE", path);
  input.print({ deleted: target }, () => `Deleted: the price of ${safe(target)}.\n`);
  return EXIT_OK;
}

export async function showSpend(input: CommandInput): Promise<number> {
  const groups = input.list("group-by");
  const query = new URLSearchParams([
    ["group_by", groups.length === 0 ? "route" : groups.join(",")],
    ...input.filters(["since", "until", "bucket"]),
  ]);
  const client = input.client();
  if (input.has("csv")) {
    query.set("format", "csv");
    const response = await client.send("GET", `/admin/spend?${query}`);
    const text = await response.text();
    if (!response.ok) throw refused(client.origin, response.status, tryParseJson(text), "", "");
    input.terminal.write(text);
    return EXIT_OK;
  }
  const spend = await client.call("GET", `/admin/spend?${query}`);
  const rows = rowsOf(spend);
  const columns: readonly Column<Json>[] = [
    ...(rows.some(({ start }) => start !== undefined)
      ? [{ title: "START", value: ({ start }: Json) => String(start).slice(0, 10) }]
      : []),
    { title: "GROUP", value: groupText },
    { title: "REQUESTS", value: ({ requests }) => requests },
    { title: "COST", value: ({ cost_usd }) => cost_usd, as: "usd" },
    {
      title: "CORRECTED",
      value: ({ adjustment_usd }) => (adjustment_usd === 0 ? null : adjustment_usd),
      as: "usd",
      spare: 4,
    },
    { title: "IN", value: ({ prompt_tokens }) => prompt_tokens, spare: 1 },
    { title: "OUT", value: ({ completion_tokens }) => completion_tokens, spare: 2 },
    { title: "UNPRICED", value: ({ unpriced_requests }) => unpriced_requests, spare: 3 },
  ];
  const { total_usd, as_of, unadmitted_usd, unpriced_requests } = spend;
  const unpriced =
    typeof unpriced_requests === "number" && unpriced_requests > 0
      ? `, without ${unpriced_requests} requests that have no known price`
      : "";
  const unadmitted =
    typeof unadmitted_usd === "number" && unadmitted_usd > 0
      ? `, besides ${usdText(unadmitted_usd)} for calls that a budget refused after they were sent`
      : "";
  input.print(
    spend,
    () =>
      `${table(columns, rows, "Nothing was spent.", input.look)}total ${usdText(total_usd) ?? "-"}${unpriced}${unadmitted}, as of ${safe(String(as_of))}\n`,
  );
  return EXIT_OK;
}

/** Values in the order that was asked for, and a key by its name. */
function groupText({ group, names }: Json): unknown {
  if (!isJsonObject(group)) return null;
  const shown = isJsonObject(names) ? names : {};
  return Object.entries(group).map(([by, value]) => String(shown[by] ?? value ?? "-"));
}

function scopeText(scope: unknown): unknown {
  return isJsonObject(scope) && Object.keys(scope).length > 0 ? scope : "everything";
}

function budgetText({ scope, status, ...budget }: Json): string {
  const standing = isJsonObject(status) ? status : {};
  return record(Object.entries({ ...budget, scope: scopeText(scope), ...standing }));
}

const BUDGET: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "SCOPE", value: ({ scope }) => scopeText(scope) },
  { title: "LIMIT", value: ({ limit_usd, period }) => `${usdText(limit_usd) ?? "-"}/${String(period)}` },
  { title: "SPENT", value: ({ status }) => (isJsonObject(status) ? status["spent_usd"] : null), as: "usd" },
  { title: "LEFT", value: ({ status }) => (isJsonObject(status) ? status["remaining_usd"] : null), as: "usd" },
  { title: "RESETS", value: ({ status }) => (isJsonObject(status) ? status["resets_at"] : null), as: "time", spare: 1 },
  { title: "THEN", value: ({ on_exceeded }) => on_exceeded, spare: 2 },
];

export async function listBudgets(input: CommandInput): Promise<number> {
  const budgets = await listAll(input.client(), "/admin/budgets");
  input.printRows(BUDGET, budgets, "There are no budgets above the keys.");
  return EXIT_OK;
}

export async function getBudget(input: CommandInput): Promise<number> {
  const budget = await input.client().call("GET", `/admin/budgets/${encode(input.words[0] ?? "")}`);
  input.print(budget, () => budgetText(budget));
  return EXIT_OK;
}

/** `--limit`, such as 500/month; nothing where it is not said. */
function limitOf(input: CommandInput): Json {
  const text = input.text("limit");
  if (text === undefined) return {};
  const [amount, period, ...more] = text.split("/");
  if (period === undefined || more.length > 0 || !/^[0-9]+(?:\.[0-9]+)?$/.test(amount ?? "")) {
    throw new CommandError("--limit must be USD per day, week, month or total, such as 500/month.");
  }
  return { limit_usd: Number(amount), period };
}

/** What the options say of the scope; nothing where they say nothing. */
function scopeOf(input: CommandInput): Json {
  const keys = input.list("key");
  const tag = input.text("tag");
  const colon = tag?.indexOf(":") ?? -1;
  if (tag !== undefined && colon < 1) throw new CommandError("--tag must be <name>:<value>.");
  return {
    ...withoutAbsent({ env: input.text("env"), app: input.text("app") }),
    ...(keys.length === 0 ? {} : { keys }),
    ...(tag === undefined ? {} : { tag: { name: tag.slice(0, colon), value: tag.slice(colon + 1) } }),
  };
}

const withoutAbsent = (members: Json): Json =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null));

/** A budget as it can be set again: a new one replaces it whole, so a forgotten scope would make it everybody's. */
async function ownBudget(client: Client, path: string): Promise<Json> {
  const found = await client.call("GET", path).catch((error: unknown): Json => {
    if (error instanceof RefusedError && error.status === 404) return {};
    throw error;
  });
  const { scope, limit_usd, period, time_zone, on_exceeded } = found;
  return withoutAbsent({ scope, limit_usd, period, time_zone, on_exceeded });
}

/** Changes what is named and keeps the rest of a budget that exists. */
export async function setBudget(input: CommandInput): Promise<number> {
  const client = input.client();
  const path = `/admin/budgets/${encode(input.words[0] ?? "")}`;
  if (input.has("notify") && input.has("deny")) throw new CommandError("--notify and --deny exclude each other.");
  const scope = scopeOf(input);
  const limit = limitOf(input);
  const kept = input.has("replace") ? {} : await ownBudget(client, path);
  if (limit["limit_usd"] === undefined && kept["limit_usd"] === undefined) {
    throw new CommandError("Say --limit <usd/period>, such as 500/month.");
  }
  const exceeded = input.has("notify") ? "notify" : input.has("deny") ? "deny" : undefined;
  const named = { ...limit, ...withoutAbsent({ time_zone: input.text("time-zone"), on_exceeded: exceeded }) };
  const body = { ...kept, ...named, scope: { ...(isJsonObject(kept["scope"]) ? kept["scope"] : {}), ...scope } };
  const budget = await client.call("PUT", path, { body: JSON.stringify(body) });
  input.print(budget, () => budgetText(budget));
  const others = Object.keys(kept).filter((name) => !Object.hasOwn(named, name) && name !== "scope");
  const scopes = isJsonObject(kept["scope"]) ? Object.keys(kept["scope"]) : [];
  const unnamed = [...scopes.filter((name) => !Object.hasOwn(scope, name)), ...others];
  if (unnamed.length > 0) {
    input.terminal.writeError(`Kept as they were: ${unnamed.map(safe).join(", ")}. With --replace they go.\n`);
  }
  input.terminal.writeError(`In force on ${client.origin} within 60 s.\n`);
  return EXIT_OK;
}

export async function deleteBudget(input: CommandInput): Promise<number> {
  const client = input.client();
  const [id = ""] = input.words;
  await input.confirm(`Delete the budget ${safe(id)} on ${client.origin}?`);
  await client.call("DELETE", `/admin/budgets/${encode(id)}`);
  input.print({ deleted: id }, () => `Deleted: ${safe(id)}.\n`);
  return EXIT_OK;
}
