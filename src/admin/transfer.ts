/**
 * `GET /admin/export` and `POST /admin/import`: a deployment as lines of JSON, into a fresh one, all or nothing.
 *
 * Keys go along as hashes with what they have spent, so that every one of them goes on working under the same pepper. The
 * secrets of webhooks do not: rotate them afterwards.
 */
import type { Context } from "hono";
import type { BudgetRecord } from "../budgets/record.ts";
import type { BudgetStatus } from "../budgets/types.ts";
import { settingsOf } from "../config.ts";
import { controlPlane, withControl } from "../control/client.ts";
import { keyOfRow, type RowKey, type TransferLine } from "../control/transfer.ts";
import { faultOf, KINDS, type TransferKind, type TransferRow } from "../control/transfer-rows.ts";
import { callWithRetry } from "../durable/call.ts";
import { RouterError } from "../http/errors.ts";
import { refuseQuery } from "../http/query.ts";
import { pepperId } from "../keys/hash.ts";
import { importSums, type PeriodRow, sumsOf } from "../ledger/client/client.ts";
import { isJsonObject, parseJson, tryParseJson } from "../lib/json.ts";
import { textLines } from "../lib/text/text-lines.ts";
import type { AdminEnv } from "./access/authorize.ts";
import { requireRole } from "./access/roles.ts";

const HEADER = "flow-layer-export";
const SCHEMA = 1;
/** Below what one call of an object may answer, also where each row is a long policy. */
const ROWS_AT_A_TIME = 100;
/** One call of a ledger or pool for each key and budget. */
const CALLS_AT_A_TIME = 6;
const POOL_LIMIT_MS = 8_000;
/** What waits in the control plane goes there in parts of so much: one call takes far more, memory need not. */
const LINES_AT_A_TIME = 200;
const CHARACTERS_AT_A_TIME = 1_000_000;
/** A row of a table holds no more. */
const MAX_LINE_CHARACTERS = 2_000_000;

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

/**
 * The lines of every kind, some hundred at a time: a deployment of any size passes through little memory. What changes
 * meanwhile is there as it was or as it is, and never in part.
 */
async function* exportLines(c: Context<AdminEnv>): AsyncGenerator<string, void> {
  for (const kind of KINDS) {
    for (let after: RowKey | null = null; ; ) {
      const rows: TransferRow[] = await withControl(c.env.CONTROL_PLANE, (control) =>
        control.exportRows(kind, ROWS_AT_A_TIME, after),
      );
      const last = rows.at(-1);
      if (last === undefined) break;
      const lines = await inTurn(rows, async (row) =>
        JSON.stringify({ kind, row, ...(await sumsMember(c, kind, row)) }),
      );
      yield `${lines.join("\n")}\n`;
      after = keyOfRow(kind, last);
    }
  }
}

/** What is summed up elsewhere than in the control plane. */
async function sumsMember(c: Context<AdminEnv>, kind: TransferKind, { id }: TransferRow): Promise<object> {
  if (kind === "key") return { sums: await sumsOf(c.env.KEY_LEDGER, String(id)) };
  if (kind !== "budget") return {};
  const pool = c.env.BUDGET_POOL.getByName(String(id));
  const ask = async (): Promise<BudgetStatus | null> => await pool.status();
  const status = await callWithRetry(POOL_LIMIT_MS, ask).catch(() => {
    throw new RouterError("ledger_unavailable", `The books of the budget \`${id}\` did not answer. Try again.`);
  });
  if (status === null) return {};
  const { periodStart, spentNanoUsd } = status;
  return { sum: { period_start: periodStart, nano_usd: spentNanoUsd } };
}

/** Some calls at a time, answers in the order of `items`. */
async function inTurn<Item, Answer>(items: readonly Item[], ask: (item: Item) => Promise<Answer>): Promise<Answer[]> {
  const found: Answer[] = [];
  const waiting = items.entries();
  const worker = async (): Promise<void> => {
    // All of them take from the same iterator.
    for (const [at, item] of waiting) found[at] = await ask(item);
  };
  await Promise.all(Array.from({ length: CALLS_AT_A_TIME }, worker));
  return found;
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

/**
 * Everything or nothing. Lines are checked as they come and wait in the control plane; what keys have spent goes to their
 * ledgers when all are there, and then all of it takes effect at once. A call that failed can be repeated.
 */
export async function postImport(c: Context<AdminEnv>): Promise<Response> {
  refuseQuery(c);
  const { pepper } = settingsOf(c.env);
  const id = crypto.randomUUID();
  const counts = new Map<TransferKind, number>();
  let count = 0;
  try {
    let isEmpty = await stage(c, id, 0, []);
    for await (const lines of checkedLines(c.req.raw.body, pepper === "" ? null : await pepperId(pepper))) {
      // What is wrong with a line is said first, also where it would not be taken.
      isEmpty &&= await stage(c, id, count, lines);
      count += lines.length;
      for (const { kind } of lines) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    if (!isEmpty) throw notEmpty();
    // Sums first: where a ledger does not answer, nothing has changed that anyone could see.
    await giveSums(c, id);
    const result = await controlPlane(c.env.CONTROL_PLANE).commitImport(id, count, c.get("actor"));
    if (result === "overtaken") {
      throw new RouterError(
        "not_empty",
        "Another import has begun meanwhile, so this one was given up. Send one only.",
      );
    }
    if (result === "not_empty") throw notEmpty();
  } catch (error) {
    await stage(c, "", 0, []).catch(() => {});
    throw error;
  }
  return c.json({ object: "import", imported: Object.fromEntries(KINDS.map((kind) => [kind, counts.get(kind) ?? 0])) });
}

/** `false`: the deployment is not empty. Without an id: nothing waits any more. */
function stage(c: Context<AdminEnv>, id: string, first: number, lines: readonly TransferLine[]): Promise<boolean> {
  return withControl(c.env.CONTROL_PLANE, (control) => control.stageImport(id, first, lines));
}

function notEmpty(): RouterError {
  const message = "This deployment has keys, routes or budgets already. Import into a fresh one.";
  return new RouterError("not_empty", message);
}

async function giveSums(c: Context<AdminEnv>, id: string): Promise<void> {
  for (let after = -1; ; ) {
    const page = await withControl(c.env.CONTROL_PLANE, (control) => control.stagedSums(id, after, ROWS_AT_A_TIME));
    const last = page.at(-1);
    if (last === undefined) return;
    await inTurn(page, ({ data, sums }) => {
      // Both were written from a line that was checked.
      const key = parseJson(data) as { readonly id: string };
      return importSums(c.env.KEY_LEDGER, key.id, parseJson(sums) as unknown as readonly PeriodRow[]);
    });
    after = last.line;
  }
}

/** Lines behind the head, some at a time. Throws 400 that names the line. */
async function* checkedLines(
  body: ReadableStream<Uint8Array> | null,
  ownPepper: string | null,
): AsyncGenerator<readonly TransferLine[]> {
  let lines: TransferLine[] = [];
  let characters = 0;
  let hasHead = false;
  for await (const { line, number } of textLines(body)) {
    const bad = (why: string): RouterError => {
      const message = `Line ${number} of the import: ${why}. Send the lines of GET /admin/export as they are.`;
      return new RouterError("invalid_request", message, { param: `line ${number}`, details: { line: number } });
    };
    if (line.length > MAX_LINE_CHARACTERS) throw bad(`it is longer than ${MAX_LINE_CHARACTERS} characters`);
    const value = tryParseJson(line);
    if (!isJsonObject(value)) throw bad("it is no JSON object");
    if (!hasHead) {
      const fault = faultOfHead(value, ownPepper);
      if (fault !== null) throw bad(fault);
      hasHead = true;
      continue;
    }
    const read = readLine(value);
    if (typeof read === "string") throw bad(read);
    lines.push(read);
    characters += line.length;
    if (lines.length < LINES_AT_A_TIME && characters < CHARACTERS_AT_A_TIME) continue;
    yield lines;
    lines = [];
    characters = 0;
  }
  if (!hasHead) throw new RouterError("invalid_request", "The import is empty. Send the lines of GET /admin/export.");
  if (lines.length > 0) yield lines;
}

function faultOfHead(
  { kind, schema, pepper_id: pepper }: Record<string, unknown>,
  ownPepper: string | null,
): string | null {
  if (kind !== HEADER || schema !== SCHEMA) return `it must be the head of an export of schema ${SCHEMA}`;
  if (pepper === ownPepper) return null;
  return "the export was made under another pepper, so its keys would not work: set FLOW_KEY_PEPPER to the same";
}

/** A text says what is wrong with it. */
function readLine({ kind, row, sums, sum }: Record<string, unknown>): TransferLine | string {
  const known = KINDS.find((each) => each === kind);
  if (known === undefined) return "its `kind` is unknown";
  const fault = faultOf(known, row);
  if (fault !== null) return fault;
  const line = { kind: known, row: row as TransferRow };
  if (known === "key") {
    const found = readSums(sums);
    return found === null ? "its `sums` are malformed" : { ...line, sums: JSON.stringify(found) };
  }
  if (known !== "budget" || sum === undefined) return line;
  const carried = readSum(sum);
  return carried === null ? "its `sum` is malformed" : { ...line, sums: JSON.stringify(carried) };
}

const isAmount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function readSums(value: unknown): readonly PeriodRow[] | null {
  if (!Array.isArray(value)) return null;
  const rows = value.filter((row): row is PeriodRow => {
    if (!isJsonObject(row) || typeof row["period"] !== "string") return false;
    return [row["nano_usd"], row["requests"], row["unpriced_requests"]].every(isAmount);
  });
  return rows.length === value.length ? rows : null;
}

function readSum(value: unknown): BudgetRecord["carried"] | null {
  if (!isJsonObject(value)) return null;
  const { period_start: start, nano_usd } = value;
  return isAmount(nano_usd) && (start === null || isAmount(start)) ? { start_at: start ?? 0, nano_usd } : null;
}
