/**
 * `npm run test:soak`: workerd killed under load, twice, and started again on the same storage. What was booked stays
 * booked, what was held is charged or set free, and nobody gets beyond a limit by it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { workerdChildren } from "../bench/measure.ts";
import type { TestWorker } from "../support/worker.ts";
import { type Billed, type Biller, nanoUsdOf, startBiller } from "./biller.ts";
import { buyInTurns, type Receipt, startFlow } from "./buyers.ts";
import { tally } from "./load.ts";
import {
  type Account,
  type Books,
  booksOf,
  closedBooks,
  expectSameSums,
  type Office,
  officeOf,
  openAccount,
  order,
  priceRoute,
  startMoneyWorker,
  usd,
} from "./money-rig.ts";
import { pause } from "./run.ts";

const REQUESTS_PER_SECOND = 100;
const LOAD_MS = Number(process.env["FLOW_SOAK_SECONDS"] ?? 20) * 500;
const CAP = 50;
/** A budget of the request's own is checked before its call. */
const ASKS_FIRST = { route: { spend_budget_usd: 1 } };
const COST = nanoUsdOf({ promptTokens: 100, completionTokens: 10 });
/** A reservation outlives the last clock of its request by a minute, and alarms may be late. */
const SWEPT_WITHIN_MS = 90_000;

let biller: Biller;
let directory: string;
beforeAll(async () => {
  biller = await startBiller();
  directory = await mkdtemp(join(tmpdir(), "flow-money-"));
});
afterAll(async () => {
  biller.stop();
  await rm(directory, { recursive: true, force: true });
});

const VARS = { FLOW_ADMIN_TOKEN: "soak-admin-token-soak-admin-token" };

/** The Worker, and its process. */
async function start(): Promise<{ worker: TestWorker; office: Office; kill: () => void }> {
  const before = workerdChildren();
  const worker = await startMoneyWorker(biller.baseUrl, { persist: directory, vars: VARS });
  const pids = workerdChildren().filter((pid) => !before.includes(pid));
  expect(pids).toHaveLength(1);
  const kill = (): void => void process.kill(pids[0]!, "SIGKILL");
  return { worker, office: officeOf(worker), kill };
}

/** What an operator and the client of `account` have seen for certain. */
interface Acked {
  books: Books | null;
  readonly traces: Set<string>;
}

/** Reads books and traces as long as there is somebody to answer. */
async function watch(
  office: Office,
  worker: TestWorker,
  account: Account,
  acked: Acked,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    try {
      acked.books = await booksOf(office, account);
      const page = await worker.fetch("/v1/traces?limit=200", { headers: { authorization: `Bearer ${account.key}` } });
      for (const { id } of ((await page.json()) as { data: { id: string }[] }).data) acked.traces.add(id);
    } catch {
      // Killed meanwhile: what was not read was not seen.
    }
    await pause(50);
  }
}

interface Life {
  readonly receipts: readonly Receipt[];
  readonly acked: readonly Acked[];
}

/** Load on both accounts until the process is killed in its middle. */
async function liveAndDie(accounts: readonly Account[], model: string, firstId: number): Promise<Life> {
  const { worker, office, kill } = await start();
  const acked = accounts.map((): Acked => ({ books: null, traces: new Set() }));
  let isOver = false;
  const watching = accounts.map((account, index) => watch(office, worker, account, acked[index]!, () => isOver));
  const flow = startFlow(REQUESTS_PER_SECOND, (index) => ({
    ...{ url: worker.url, model, key: accounts[index % accounts.length]!.key },
    ...{
      order: order(firstId + index, { headMs: (index % 10) * 40 }),
      body: { max_tokens: CAP, stream: index % 4 > 1, ...(index % accounts.length === 1 ? {} : ASKS_FIRST) },
    },
  }));
  await pause(LOAD_MS);
  kill();
  isOver = true;
  await Promise.all(watching);
  await flow.stop();
  await worker.stop().catch(() => {});
  return { receipts: flow.receipts, acked };
}

const callsOf = (books: readonly Billed[], of: (id: number) => boolean): number =>
  books.filter(({ id }) => of(id)).length;

test("killed twice under load: no acknowledged settlement is lost, what was held is charged, limits hold", {
  timeout: 300_000,
}, async () => {
  const first = await start();
  const model = await priceRoute(first.office, "crash", { timeouts: { total_ms: 1_000, first_token_ms: 1_000 } });
  // The first asks before each call; the second starts calls beside the reservation; the third runs into its limit.
  const accounts = [
    await openAccount(first.office, 1e12, { limits: { concurrency: 10_000 } }),
    await openAccount(first.office, 1e12),
    await openAccount(first.office, 300 * COST, { limits: { concurrency: 10_000 } }),
  ];
  await first.worker.stop();
  const lives: Life[] = [];
  for (const life of [0, 1]) {
    lives.push(await liveAndDie(accounts, model, life * 30_000));
    const { worker, office } = await start();
    for (const [index, account] of accounts.entries()) {
      const books = await booksOf(office, account);
      const { books: seen, traces } = lives[life]!.acked[index]!;
      expect(seen, "the operator saw nothing before the crash").not.toBeNull();
      expect(books.isConsistent).toBe(true);
      expect(books.spent).toBeGreaterThanOrEqual(seen?.spent ?? Number.NaN);
      expect(books.requests).toBeGreaterThanOrEqual(seen?.requests ?? Number.NaN);
      expect(books.spent + books.reserved).toBeLessThanOrEqual(books.limit);
      expect(await missing(worker, account, traces)).toEqual([]);
    }
    await worker.stop();
  }

  const { worker, office } = await start();
  const diedWith = await Promise.all(accounts.map((account) => booksOf(office, account)));
  // Nobody asks the ledgers for anything that would make them look: their alarms do it.
  const sweptBy = Date.now() + SWEPT_WITHIN_MS;
  while (Date.now() < sweptBy && (await heldBy(office, accounts)) > 0) await pause(1_000);
  const swept = await Promise.all(accounts.map((account) => closedBooks(office, account)));
  const bill = await biller.books();
  const receipts = lives.flatMap((life) => life.receipts);
  const shown = accounts.map((_, index) => {
    const own = (id: number): boolean => (id - 100_000) % accounts.length === index;
    const { spent, requests, expiredCount } = swept[index]!;
    return {
      spent,
      requests,
      expiredCount,
      calls: callsOf(bill, own),
      billed: bill.filter(({ id }) => own(id)).reduce((sum, each) => sum + nanoUsdOf(each), 0),
    };
  });
  for (const [index, each] of shown.entries()) {
    console.log(
      `  ${["asks first", "beside", "limited"][index]}: ${each.calls} calls reached the provider, ${each.requests} have a trace, ` +
        `${each.expiredCount} expired; spent ${usd(each.spent)}, provider ${usd(each.billed)}; held at death ${usd(diedWith[index]!.reserved)}`,
    );
  }
  console.log(
    `SOAK crash: killed twice under ${receipts.length} requests (${tally(receipts.map(({ status }) => status))}), ` +
      `${lives.map(({ acked }) => acked.reduce((sum, { traces }) => sum + traces.size, 0)).join(" and ")} traces seen before and none lost; held 0 after`,
  );
  for (const { spent, reserved, limit } of swept) {
    expect(reserved).toBe(0);
    expect(spent).toBeLessThanOrEqual(limit);
  }
  expect(shown.some(({ expiredCount }) => expiredCount > 0)).toBe(true);
  // What asked first has a trace for every call that was made: settled at its cost, or charged at its bound.
  for (const each of [shown[0]!, shown[2]!]) {
    expect(each.requests).toBeGreaterThanOrEqual(each.calls);
    expect(each.spent).toBeGreaterThanOrEqual(each.billed);
  }
  // Beside the call a reservation may die on its way: no more than what one moment has under way.
  const lost = shown[1]!.calls - shown[1]!.requests;
  expect(lost).toBeLessThanOrEqual(lives.length * REQUESTS_PER_SECOND);
  await expectSameSums(office, accounts);
  const after = await buyInTurns(
    [{ url: worker.url, key: accounts[0]!.key, model, order: order(70_000), body: { max_tokens: CAP } }],
    1,
  );
  expect(after.map(({ status }) => status)).toEqual([200]);
  await worker.stop();
});

async function missing(worker: TestWorker, { key }: Account, traces: ReadonlySet<string>): Promise<string[]> {
  const stored = new Set<string>();
  for (let cursor = ""; ; ) {
    const response = await worker.fetch(`/v1/traces?limit=1000${cursor}`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const page = (await response.json()) as { data: { id: string }[]; next_cursor: string | null };
    for (const { id } of page.data) stored.add(id);
    if (page.next_cursor === null) return [...traces].filter((id) => !stored.has(id));
    cursor = `&cursor=${page.next_cursor}`;
  }
}

async function heldBy(office: Office, accounts: readonly Account[]): Promise<number> {
  const all = await Promise.all(accounts.map((account) => booksOf(office, account)));
  return all.reduce((sum, { openReservations }) => sum + openReservations, 0);
}
