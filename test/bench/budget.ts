/**
 * What a budget costs: the same requests with a key that has none and with one that has, against a Worker that only
 * forwards; then with a slow provider and a ledger far away, where a wait for the ledger would show.
 */
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { measureRequests, median, type RequestResult, type Side } from "./measure.ts";
import { SLOW } from "./upstream.ts";

const ROUNDS = 5;
const CONNECTIONS = 16;
const ROUND_MS = 2_500;
const WARM_UP_MS = 1_500;
const PROVIDER_ROUND_MS = 4_000;
const LEDGER_MS = 200;
/** Has a price, and no other section uses it. */
const MODEL = "gpt-4.1-mini-2030-01-01";
const BUDGET = { limit_usd: 1_000, period: "day" };

const ROUTES = { budget: MODEL, "budget-slow": SLOW.model };

async function keysOf(worker: TestWorker): Promise<{ readonly free: string; readonly kept: string }> {
  for (const [route, model] of Object.entries(ROUTES)) {
    await worker.putRoute("production", route, { targets: [{ provider: "openai", model }] });
  }
  return { free: (await worker.createKey()).key, kept: (await worker.createKey({ budget: BUDGET })).key };
}

/** Sides take turns, and every other round they do so the other way round. */
async function inTurns(sides: readonly Side[], roundMs: number): Promise<RequestResult[][]> {
  const results = sides.map((): RequestResult[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const turn = [...sides.entries()];
    for (const [index, side] of round % 2 === 0 ? turn : turn.reverse()) {
      results[index]?.push(await measureRequests(side, CONNECTIONS, roundMs));
    }
  }
  return results;
}

function print(
  sides: readonly Side[],
  rows: readonly (readonly [string, (result: RequestResult) => number])[],
  results: RequestResult[][],
): void {
  console.log("".padEnd(30) + sides.map(({ name }) => name.padStart(18)).join(""));
  for (const [what, pick] of rows) {
    const cells = results.map((ofSide) => median(ofSide.map(pick)).toPrecision(4).padStart(18));
    console.log(what.padEnd(30) + cells.join(""));
  }
}

const P50 = ["latency p50, ms", ({ p50Ms }: RequestResult) => p50Ms] as const;

async function compareCost(bare: Side, router: Side, worker: TestWorker): Promise<void> {
  const { free, kept } = await keysOf(worker);
  const through = (name: string, key: string): Side => {
    return { ...router, name, headers: { authorization: `Bearer ${key}` }, route: "budget" };
  };
  const sides = [bare, through("no budget", free), through("budget", kept)];
  for (const side of sides) await measureRequests(side, CONNECTIONS, WARM_UP_MS);
  const results = await inTurns(sides, ROUND_MS);
  console.log(`\nMedians of ${ROUNDS} interleaved rounds; ${CONNECTIONS} connections, room left in the budget.\n`);
  const cpu = ({ cpuMsPerRequest }: RequestResult): number => cpuMsPerRequest;
  print(
    sides,
    [["workerd CPU per request, ms", cpu], P50, ["requests per second", (each) => each.requestsPerSecond]],
    results,
  );
  const ratio = (index: number): number =>
    median((results[index] ?? []).map(cpu)) / median((results[0] ?? []).map(cpu));
  console.log(
    `\nCPU against bare: ${ratio(1).toFixed(2)} times without a budget, ${ratio(2).toFixed(2)} times with one, its ledger included.`,
  );
}

async function compareWaits(vars: Readonly<Record<string, string>>): Promise<void> {
  const worker = await startWorker({ vars, front: FAULTS_FRONT });
  try {
    const { free, kept } = await keysOf(worker);
    await setFaults(worker, { ledgerMs: LEDGER_MS });
    const through = (name: string, key: string): Side => {
      return { name, url: worker.url, headers: { authorization: `Bearer ${key}` }, route: "budget-slow", pid: null };
    };
    const sides = [through("no budget", free), through("budget", kept)];
    // The first request of a key in an isolate waits for the ledger.
    for (const side of sides) await measureRequests(side, CONNECTIONS, WARM_UP_MS);
    const results = await inTurns(sides, PROVIDER_ROUND_MS);
    const [before = Number.NaN, after = Number.NaN] = results.map((ofSide) => median(ofSide.map(({ p50Ms }) => p50Ms)));
    console.log(
      `\nA provider that takes ${SLOW.delayMs} ms, a ledger ${LEDGER_MS} ms away, room left in the budget.\n`,
    );
    print(sides, [P50], results);
    console.log(`\nThe budget adds ${(after - before).toFixed(2)} ms to the median.`);
  } finally {
    await worker.stop();
  }
}

/** `vars`: those of the router, for a second one whose ledger is far away. */
export async function compareBudget(
  bare: Side,
  router: Side,
  worker: TestWorker,
  vars: Readonly<Record<string, string>>,
): Promise<void> {
  await compareCost(bare, router, worker);
  await compareWaits(vars);
}
