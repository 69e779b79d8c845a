/** What concerns the host as a whole: `status`, `audit`, `models`, `export`, `import`, `open`. */
import { chmodSync, createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { type Json, listAll, listPage, refused, rowsOf } from "../client.ts";
import type { CommandInput } from "../input.ts";
import { type Column, record, table } from "../table.ts";
import { CommandError, EXIT_ERROR, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const CHECK: readonly Column<Json>[] = [
  { title: "CHECK", value: ({ name }) => name, whole: true },
  { title: "OK", value: ({ ok }) => (ok === true ? "yes" : "NO"), colour: ({ ok }) => (ok === true ? "green" : "red") },
  { title: "TOOK", value: ({ ms }) => ms, as: "ms", spare: 1 },
  { title: "DETAIL", value: ({ detail }) => detail },
];

/** Fails where a check does. */
export async function showStatus(input: CommandInput): Promise<number> {
  const client = input.client();
  const response = await client.send("GET", "/admin/status");
  const status = tryParseJson(await response.text());
  if (!isJsonObject(status) || !Array.isArray(status["checks"])) {
    throw refused(client.origin, response.status, status, "", "");
  }
  const checks = rowsOf({ data: status["checks"] });
  const { version, catalogue } = status;
  input.print(
    status,
    () =>
      `${record(Object.entries({ host: client.origin, version, catalogue }))}\n${table(CHECK, checks, "No checks.", input.look)}`,
  );
  return response.ok ? EXIT_OK : EXIT_ERROR;
}

const ENTRY: readonly Column<Json>[] = [
  { title: "SEQ", value: ({ seq }) => seq },
  { title: "TIME", value: ({ at }) => at, as: "time" },
  { title: "ACTOR", value: ({ actor }) => actor },
  { title: "ACTION", value: ({ action }) => action },
  { title: "OBJECT", value: ({ object }) => object },
  { title: "REASON", value: ({ reason }) => reason, spare: 1 },
];

export async function showAudit(input: CommandInput): Promise<number> {
  const filters = input.filters(["actor", "action", "object", "since", "until"]);
  const client = input.client();
  if (input.has("all")) {
    input.printRows(ENTRY, await listAll(client, "/admin/audit", filters), "Nothing was changed.");
    return EXIT_OK;
  }
  const query = new URLSearchParams([...filters, ...input.filters(["limit", "cursor"])]);
  const { rows, cursor } = await listPage(client, "/admin/audit", query);
  input.printRows(ENTRY, rows, "Nothing was changed.", cursor);
  return EXIT_OK;
}

const MODEL: readonly Column<Json>[] = [
  { title: "MODEL", value: ({ provider, id }) => `${String(provider)}/${String(id)}`, whole: true },
  { title: "INPUT/M", value: (row) => row["input"], as: "usd" },
  { title: "OUTPUT/M", value: ({ output }) => output, as: "usd" },
  { title: "WINDOW", value: ({ window }) => window, spare: 1 },
  { title: "ABILITIES", value: ({ abilities }) => abilities, spare: 2 },
];
const MAX_MODELS = 50;

/** The catalogue of the host: those whose id holds every word, the first of them unless all are asked for. */
export async function listModels(input: CommandInput): Promise<number> {
  const client = input.openClient();
  const response = await client.send("GET", "/models.json");
  const all = tryParseJson(await response.text());
  if (!response.ok || !Array.isArray(all)) {
    throw new CommandError(`${client.origin} has no list of models. Is the Flow Layer at this address?`);
  }
  const words = input.words.map((word) => word.toLowerCase());
  const fits = ({ provider, id }: Json): boolean => {
    const name = `${String(provider)}/${String(id)}`.toLowerCase();
    return words.every((word) => name.includes(word));
  };
  const found = all.filter(isJsonObject).filter(fits);
  const shown = input.has("all") || input.isJson ? found : found.slice(0, MAX_MODELS);
  input.printRows(MODEL, shown, "No model of the catalogue has such a name.");
  if (shown.length < found.length) {
    input.terminal.writeError(`${found.length - shown.length} more: name a part of the id, or --all\n`);
  }
  return EXIT_OK;
}

/** Everything that a new deployment needs, one object a line. Hashes of keys are in it, so the file is its owner's. */
export async function exportAll(input: CommandInput): Promise<number> {
  const client = input.client();
  const response = await client.send("GET", "/admin/export");
  if (!response.ok || response.body === null) {
    throw refused(client.origin, response.status, tryParseJson(await response.text()), "", "");
  }
  const [file] = input.words;
  if (file === undefined) {
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) input.terminal.write(piece);
    return EXIT_OK;
  }
  const path = resolve(input.terminal.directory, file);
  try {
    // Never over a file: the one before may be the only copy.
    await pipeline(
      Readable.from(response.body.pipeThrough(new TextDecoderStream())),
      createWriteStream(path, { flags: "wx", mode: 0o600 }),
    );
    chmodSync(path, 0o600);
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new CommandError(
      exists ? `${safe(file)} exists. Name another file.` : `The export to ${safe(file)} broke off.`,
    );
  }
  input.terminal.writeError(`Exported ${client.origin} to ${safe(file)}.\n`);
  return EXIT_OK;
}

export async function importAll(input: CommandInput): Promise<number> {
  const [file = ""] = input.words;
  const text = await readFile(resolve(input.terminal.directory, file), "utf8").catch(() => null);
  if (text === null) throw new CommandError(`${safe(file)} cannot be read.`);
  const client = input.client();
  await input.confirm(`Import ${safe(file)} into ${client.origin}?`);
  const headers = { "content-type": "application/x-ndjson" };
  const imported = await client.call("POST", "/admin/import", { body: text, headers });
  input.print(imported, () => record(Object.entries({ host: client.origin, ...imported })));
  return EXIT_OK;
}

const PAGES: Readonly<Record<string, string>> = { home: "/", docs: "/docs", models: "/models", console: "/console" };

export async function openPage(input: CommandInput): Promise<number> {
  const [name = "home"] = input.words;
  const path = Object.hasOwn(PAGES, name) ? PAGES[name] : undefined;
  if (path === undefined) throw new CommandError(`The pages are ${Object.keys(PAGES).join(", ")}.`);
  const address = `${input.host().base.origin}${path}`;
  input.print({ url: address }, () => `${address}\n`);
  const { open, isInteractive } = input.terminal;
  if (isInteractive && open !== undefined) await open(address);
  return EXIT_OK;
}
