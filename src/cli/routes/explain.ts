/** `routes explain`: who would answer a request now, and why the others would not. Calls no provider and changes nothing. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import type { Json } from "../client.ts";
import { type CommandInput, routePath } from "../input.ts";
import { type Column, record, table } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

export async function explainRoute(input: CommandInput): Promise<number> {
  const { path, name } = routePath(input.words[0] ?? "");
  const message = input.text("message") ?? "Hello.";
  const file = input.text("request");
  const api = input.text("api");
  const request = file === undefined ? requestOf(api, name, message) : await readJsonFile(input, file);
  const policy = input.text("policy");
  const body = {
    request,
    api,
    key: input.text("key"),
    at: input.time("at"),
    ...(policy === undefined ? {} : { policy: await readJsonFile(input, policy) }),
  };
  const explained = await input.client().call("POST", `${path}/explain`, { body: JSON.stringify(body) });
  const { targets, admission, ...members } = explained;
  const columns: readonly Column<Json>[] = [
    { title: "ORDER", value: ({ order }) => order },
    { title: "TARGET", value: ({ provider, model }) => `${String(provider)}/${String(model)}`, whole: true },
    { title: "STATE", value: ({ state }) => state },
    { title: "WHY", value: ({ reasons }) => reasonsText(reasons) },
    { title: "LANE", value: ({ lane }) => lane, spare: 2 },
    { title: "EXPECTED", value: ({ expected_usd }) => expected_usd, as: "usd", spare: 1 },
    { title: "DROPPED", value: ({ dropped }) => dropped, spare: 4 },
    { title: "BOUND", value: ({ bound_usd }) => bound_usd, as: "usd", spare: 3 },
  ];
  const rows = Array.isArray(targets) ? targets.filter(isJsonObject) : [];
  input.print(
    explained,
    () =>
      `${table(columns, rows, "There are no targets.", input.look)}\n${record(Object.entries({ ...members, admission }))}`,
  );
  return EXIT_OK;
}

const MAX_TOKENS = 1_024;

/** The smallest request with this message, as that API takes it. */
function requestOf(api: string | undefined, route: string, message: string): Json {
  const model = `flow/${route}`;
  if (api === "responses" || api === "embeddings") return { model, input: message };
  const messages = [{ role: "user", content: message }];
  return api === "messages" ? { model, messages, max_tokens: MAX_TOKENS } : { model, messages };
}

function reasonsText(reasons: unknown): string[] {
  const rows = Array.isArray(reasons) ? reasons.filter(isJsonObject) : [];
  return rows.map(({ code, member }) => (member === undefined ? String(code) : `${String(code)} ${String(member)}`));
}

async function readJsonFile(input: CommandInput, file: string): Promise<Json> {
  const text = await readFile(resolve(input.terminal.directory, file), "utf8").catch(() => null);
  if (text === null) throw new CommandError(`${safe(file)} cannot be read.`);
  const value = tryParseJson(text);
  if (!isJsonObject(value)) throw new CommandError(`${safe(file)} holds no JSON object.`);
  const { $schema: _schema, ...members } = value;
  return members;
}
