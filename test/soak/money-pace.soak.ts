/**
 * `npm run test:soak`: 100,000 requests of one key with a budget, 400 a second: how long the ledger takes to admit one,
 * whether all are settled, and whether memory and storage stay as they are.
 */
import { readdirSync } from "node:fs";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { residentMiB, workerdChildren } from "../bench/measure.ts";
import type { TestWorker } from "../support/worker.ts";
import { type Biller, nanoUsdOf, startBiller } from "./biller.ts";
import { startFlow } from "./buyers.ts";
import { quantile, tally } from "./load.ts";
import {
  booksOf,
  closedBooks,
  officeOf,
  openAccount,
  order,
  priceRoute,
  startMoneyWorker,
  trailOf,
  usd,
} from "./money-rig.ts";
import { pause, startMeter } from "./run.ts";

const REQUESTS_PER_SECOND = 400;
const SECONDS = Number(process.env["FLOW_SOAK_SECONDS"] ?? 250);
const REQUESTS = REQUESTS_PER_SECOND * SECONDS;
const PROMISED_P99_MS = 30;
/** Of the middle, what memory and storage may be at the end. Before it the ledger has not kept all it keeps yet. */
const FLAT = 1.15;
const LOOK_MS = 2_000;
const MIB = 1_048_576;

let biller: Biller;
let worker: TestWorker;
let directory: string;
beforeAll(async () => {
  biller = await startBiller();
  directory = await mkdtemp(join(tmpdir(), "flow-pace-"));
  worker = await startMoneyWorker(biller.baseUrl, { persist: directory });
});
afterAll(async () => {
  const logs = worker.logs();
  if (logs !== "") console.log(logs.slice(-2_000));
  await worker.stop();
  biller.stop();
  await rm(directory, { recursive: true, force: true });
});

/** SQLite's files of all objects of one class, with what is not yet in their main file. */
async function sizeMiB(className: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.parentPath.includes(className)) continue;
    bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))).size;
  }
  return bytes / MIB;
}

interface Look {
  readonly residentMiB: number;
  readonly ledgerMiB: number;
  readonly trailMiB: number;
  /** Sockets above all. */
  readonly openFiles: number;
  readonly underWay: number;
}

async function look(pid: number | null, underWay: number): Promise<Look> {
  const openFiles = pid === null ? Number.NaN : readdirSync(`/proc/${pid}/fd`).length;
  return {
    ...{ openFiles, underWay },
    residentMiB: residentMiB(pid),
    ledgerMiB: await sizeMiB("KeyLedger"),
    trailMiB: await sizeMiB("TrailIndex"),
  };
}

function shownLook(passedMs: number, { residentMiB: process, ledgerMiB, trailMiB, openFiles, underWay }: Look): string {
  const [resident, ledger, index] = [process, ledgerMiB, trailMiB].map((size) => size.toFixed(1));
  const passed = (passedMs / 1_000).toFixed(0);
  return `  ${passed} s: process ${resident}, ledger ${ledger}, index ${index} MiB; ${openFiles} open files, ${underWay} under way`;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The same share of the run's looks, in the middle and at the end. */
function middleAndEnd(looks: readonly Look[], of: (look: Look) => number): { middle: number; end: number } {
  const part = (from: number, to: number): Look[] =>
    looks.slice(Math.floor(looks.length * from), Math.ceil(looks.length * to));
  return { middle: mean(part(0.5, 0.65).map(of)), end: mean(part(0.85, 1).map(of)) };
}

test(`one key settles ${REQUESTS} requests at ${REQUESTS_PER_SECOND} a second, and is admitted in less than 30 ms`, {
  timeout: (SECONDS + 120) * 1_000,
}, async () => {
  const office = officeOf(worker);
  const model = await priceRoute(office, "pace");
  const account = await openAccount(office, 1e12);
  const [pid = null] = workerdChildren();
  const [looks, machine, startedAt] = [[] as Look[], startMeter(), Date.now()];
  const purchaseOf = (index: number) => ({
    ...{ url: worker.url, model, key: account.key, body: { max_tokens: 50 } },
    order: order(index),
  });
  const flow = startFlow(REQUESTS_PER_SECOND, purchaseOf, REQUESTS);
  while (flow.count() < REQUESTS) {
    await pause(LOOK_MS);
    looks.push(await look(pid, flow.count() - flow.receipts.length));
    if (looks.length % 5 === 0) console.log(shownLook(Date.now() - startedAt, looks.at(-1)!));
  }
  await flow.stop();
  const tookSeconds = (Date.now() - startedAt) / 1_000;
  const busy = machine();
  const settledAtEnd = (await booksOf(office, account)).requests;
  const books = await closedBooks(office, account, 60_000);
  const trail = await trailOf(office);
  const { receipts, lateMs } = flow;
  const admissions = receipts.map(({ admissionMs }) => admissionMs);
  const p = (values: readonly number[], q: number): string => quantile(values, q).toFixed(0);
  const memory = middleAndEnd(looks, (each) => each.residentMiB);
  const ledger = middleAndEnd(looks, (each) => each.ledgerMiB);
  const index = middleAndEnd(looks, (each) => each.trailMiB);
  const grown = (name: string, { middle, end }: { middle: number; end: number }): string =>
    `${name} ${middle.toFixed(1)} to ${end.toFixed(1)} MiB`;
  const tenth = Math.ceil(admissions.length / 10);
  const byTenth = Array.from({ length: 10 }, (_, part) => p(admissions.slice(part * tenth, (part + 1) * tenth), 0.99));
  console.log(`  admission p99 of each tenth of the run: ${byTenth.join(" ")} ms`);
  console.log(
    `SOAK pace: ${receipts.length} requests in ${tookSeconds.toFixed(0)} s (${tally(receipts.map(({ status }) => status))}), ` +
      `${(settledAtEnd / tookSeconds).toFixed(0)} settled a second; admission p50/p99/max ` +
      `${p(admissions, 0.5)}/${p(admissions, 0.99)}/${p(admissions, 1)} ms, whole p50/p99 ` +
      `${p(
        receipts.map(({ tookMs }) => tookMs),
        0.5,
      )}/${p(
        receipts.map(({ tookMs }) => tookMs),
        0.99,
      )} ms, load late by p50/p99 ` +
      `${p(lateMs, 0.5)}/${p(lateMs, 0.99)} ms; ` +
      `from the middle to the end: ${grown("process", memory)}, ${grown("ledger", ledger)}, ${grown("index", index)}; ` +
      `spent ${usd(books.spent)}; ${busy}`,
  );
  expect(receipts.filter(({ status }) => status !== 200)).toEqual([]);
  expect(books.requests).toBe(REQUESTS);
  expect(books.spent).toBe(REQUESTS * nanoUsdOf({ promptTokens: 100, completionTokens: 10 }));
  expect(trail.byKey.get(account.id)).toEqual({ nanoUsd: books.spent, requests: REQUESTS });
  expect(settledAtEnd / tookSeconds).toBeGreaterThan(0.97 * REQUESTS_PER_SECOND);
  expect(quantile(admissions, 0.99)).toBeLessThan(PROMISED_P99_MS);
  // A short run ends before retention has anything to delete.
  if (SECONDS < 200) return;
  expect(memory.end).toBeLessThan(FLAT * memory.middle);
  expect(ledger.end).toBeLessThan(FLAT * ledger.middle);
});
