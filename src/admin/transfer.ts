/**
 * `GET /admin/export` and `POST /admin/import`: a deployment as lines of JSON, into a fresh one, all or nothing.
 *
 * Keys go along as hashes with what they have spent, so that every one of them goes on working under the same pepper. The
 * secrets of webhooks do not: rotate them afterwards.
 */
import type { Context } from "hono";
import { settingsOf } from "../config.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { faultOf, KINDS, type Kind, type TransferLine } from "../control/transfer.ts";
import { RouterError } from "../http/errors.ts";
import { refuseQuery } from "../http/query.ts";
import { pepperId } from "../keys/hash.ts";
import { importSums, type PeriodRow, sumsOf } from "../ledger/client/client.ts";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { readText } from "../lib/read-text.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { requireRole } from "./access/roles.ts";

const HEADER = "flow-layer-export";
const SCHEMA = 1;
/** Below what one call of an object may answer, also where each row is a long policy. */
const ROWS_AT_A_TIME = 100;
const LEDGERS_AT_A_TIME = 6;
const MAX_IMPORT_BYTES = 24 * 1024 * 1024;

export async function getExport(c: Context<AdminEnv>): Promise<Response> {
  refuseQuery(c);
  requireRole(c.get("role"), "admin");
  await controlPlane(c.env.CONTROL_PLANE).noteShown(c.get("actor"), "export", "deployment");
  const { pepper } = settingsOf(c.env);
  const header = {
    ...{ kind: HEADER, schema: SCHEMA, created_at: new Date().toISOString() },
    pepper_id: pepper === "" ? null : await pepperId(pepper),
  };
  const rest = exportLines(c);
  // The first rows come before the status is out, so that a deployment that does not answer is an error of its own.
  const first = await rest.next();
  return c.body(streamOf(`${JSON.stringify(header)}\n${first.done === true ? "" : first.value}`, rest), 200, {
    "content-type": "application/x-ndjson",
    "content-disposition": 'attachment; filename="flow-layer-export.ndjson"',
  });
}

/** The lines of every kind, some hundred at a time: a deployment of any size passes through little memory. */
async function* exportLines(c: Context<AdminEnv>): AsyncGenerator<string, void> {
  for (const kind of KINDS) {
    for (let offset = 0; ; offset += ROWS_AT_A_TIME) {
      const rows = await withControl(c.env.CONTROL_PLANE, (control) =>
        control.exportRows(kind, ROWS_AT_A_TIME, offset),
      );
      const ids = kind === "key" ? rows.map(({ id }) => String(id)) : [];
      const sums = await spentBy(c, ids);
      const lines = rows.map((row, at) =>
        JSON.stringify(kind === "key" ? { kind, row, sums: sums[at] ?? [] } : { kind, row }),
      );
      if (lines.length > 0) yield `${lines.join("\n")}\n`;
      if (rows.length < ROWS_AT_A_TIME) break;
    }
  }
}

/** A failure on the way ends the body abnormally: half an export is none. */
function streamOf(first: string, rest: AsyncGenerator<string, void>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(first));
    },
    async pull(controller) {
      const { done, value } = await rest.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    async cancel() {
      await rest.return();
    },
  });
}

async function spentBy(c: Context<AdminEnv>, ids: readonly string[]): Promise<readonly (readonly PeriodRow[])[]> {
  const found: (readonly PeriodRow[])[] = [];
  const waiting = ids.entries();
  const worker = async (): Promise<void> => {
    for (const [at, id] of waiting) found[at] = await sumsOf(c.env.KEY_LEDGER, id);
  };
  await Promise.all(Array.from({ length: LEDGERS_AT_A_TIME }, worker));
  return found;
}

interface Read {
  readonly lines: readonly TransferLine[];
  /** What each key has spent, by period. */
  readonly sums: ReadonlyMap<string, readonly PeriodRow[]>;
}

export async function postImport(c: Context<AdminEnv>): Promise<Response> {
  refuseQuery(c);
  const text = await readText(new Response(c.req.raw.body), MAX_IMPORT_BYTES, () => {});
  if (text === null) {
    throw new RouterError(
      "request_too_large",
      `An import may have ${MAX_IMPORT_BYTES} bytes. Leave out lines of kind \`audit\`.`,
    );
  }
  const { pepper } = settingsOf(c.env);
  const { lines, sums } = readLines(text, pepper === "" ? null : await pepperId(pepper));
  if (!(await withControl(c.env.CONTROL_PLANE, (control) => control.isEmpty()))) throw notEmpty();
  // Sums first: where a ledger does not answer, nothing has changed that anyone could see, and the call can be repeated.
  const waiting = sums.entries();
  const worker = async (): Promise<void> => {
    for (const [id, rows] of waiting) await importSums(c.env.KEY_LEDGER, id, rows);
  };
  await Promise.all(Array.from({ length: LEDGERS_AT_A_TIME }, worker));
  if (!(await controlPlane(c.env.CONTROL_PLANE).importRows(lines, c.get("actor")))) throw notEmpty();
  const counts = Map.groupBy(lines, ({ kind }) => kind);
  const imported = Object.fromEntries(KINDS.map((kind) => [kind, counts.get(kind)?.length ?? 0]));
  return c.json({ object: "import", imported });
}

function notEmpty(): RouterError {
  const message = "This deployment has keys, routes or budgets already. Import into a fresh one.";
  return new RouterError("not_empty", message);
}

/** Throws 400 that names the line. */
function readLines(text: string, ownPepper: string | null): Read {
  const lines: TransferLine[] = [];
  const sums = new Map<string, readonly PeriodRow[]>();
  let hasHeader = false;
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const bad = (why: string): RouterError => {
      const message = `Line ${index + 1} of the import: ${why}. Send the lines of GET /admin/export as they are.`;
      return new RouterError("invalid_request", message, { param: `line ${index + 1}`, details: { line: index + 1 } });
    };
    const value = tryParseJson(line);
    if (!isJsonObject(value)) throw bad("it is no JSON object");
    const { kind, row } = value;
    if (!hasHeader) {
      if (kind !== HEADER || value["schema"] !== SCHEMA)
        throw bad(`it must be the head of an export of schema ${SCHEMA}`);
      if (value["pepper_id"] !== ownPepper) {
        throw bad(
          "the export was made under another pepper, so its keys would not work: set FLOW_KEY_PEPPER to the same",
        );
      }
      hasHeader = true;
      continue;
    }
    const known = KINDS.find((each) => each === kind);
    if (known === undefined) throw bad("its `kind` is unknown");
    const fault = faultOf(known, row);
    if (fault !== null) throw bad(fault);
    lines.push({ kind: known, row: row as TransferLine["row"] });
    if (known !== "key") continue;
    const found = readSums(value["sums"]);
    if (found === null) throw bad("its `sums` are malformed");
    sums.set(String((row as Record<string, unknown>)["id"]), found);
  }
  if (!hasHeader) throw new RouterError("invalid_request", "The import is empty. Send the lines of GET /admin/export.");
  return { lines, sums };
}

function readSums(value: unknown): readonly PeriodRow[] | null {
  if (!Array.isArray(value)) return null;
  const rows = value.filter((row): row is PeriodRow => {
    if (!isJsonObject(row) || typeof row["period"] !== "string") return false;
    return [row["nano_usd"], row["requests"], row["unpriced_requests"]].every(
      (each) => Number.isSafeInteger(each) && (each as number) >= 0,
    );
  });
  return rows.length === value.length ? rows : null;
}

export type { Kind };
