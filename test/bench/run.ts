/**
 * `npm run bench`: what the router costs, against a bare Worker that only forwards, in the same run.
 *
 * Both run in a workerd of their own behind direct sockets, call the same provider, and take turns, so that whatever
 * else the machine does hits both. Absolute numbers are of this machine; the ratios are the result. The router's
 * workerd also runs the local stand-ins for KV and Durable Objects, so its share is an upper bound.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUNDLE_VARIABLE, bundle } from "../support/build.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import {
  measureRequests,
  measureStreams,
  median,
  type RequestResult,
  residentMiB,
  type Side,
  type StreamResult,
  workerdChildren,
} from "./measure.ts";
import { CHUNKS, GAP_MS } from "./upstream.ts";

const ROUNDS = 3;
const CONNECTIONS = 16;
const REQUESTS_MS = 2_500;
const WARM_UP_MS = 1_000;
const STREAMS = 60;

const BARE = `export default { fetch(request, env) {
  const { method, headers, body, signal } = request;
  return fetch(env.UPSTREAM + "/chat/completions", { method, headers, body, signal });
} };`;

async function startProvider(): Promise<{ child: ChildProcess; baseUrl: string }> {
  const child = fork(join(import.meta.dirname, "upstream.ts"), { execArgv: ["--no-warnings"] });
  const port = await new Promise((resolve) => child.once("message", resolve));
  return { child, baseUrl: `http://127.0.0.1:${port}/v1` };
}

/** Starts a worker and finds the workerd that came with it. */
async function started(start: () => Promise<TestWorker>): Promise<{ worker: TestWorker; pid: number | null }> {
  const before = workerdChildren();
  const worker = await start();
  return { worker, pid: workerdChildren().find((pid) => !before.includes(pid)) ?? null };
}

async function prepareRouter(worker: TestWorker): Promise<string> {
  await worker.putRoute("production", "bench", { targets: [{ provider: "openai", model: "gpt-4.1" }] });
  return (await worker.createKey()).key;
}

interface Row {
  readonly what: string;
  readonly bare: number;
  readonly router: number;
}

/** Column of a result, over all rounds. */
function row<Result>(what: string, rounds: readonly Result[][], pick: (result: Result) => number): Row {
  const of = (side: number): number =>
    median(
      rounds.map((round) => {
        const result = round[side];
        return result === undefined ? Number.NaN : pick(result);
      }),
    );
  return { what, bare: of(0), router: of(1) };
}

function print(rows: readonly Row[]): void {
  const cell = (value: number): string => (Number.isNaN(value) ? "unavailable" : value.toPrecision(3)).padStart(12);
  console.log(`${"".padEnd(44)}${"bare".padStart(12)}${"router".padStart(12)}${"ratio".padStart(12)}`);
  for (const { what, bare, router } of rows)
    console.log(what.padEnd(44) + cell(bare) + cell(router) + cell(router / bare));
}

async function rounds<Result>(sides: readonly Side[], measure: (side: Side) => Promise<Result>): Promise<Result[][]> {
  const results: Result[][] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const ofRound: Result[] = [];
    for (const side of sides) ofRound.push(await measure(side));
    results.push(ofRound);
  }
  return results;
}

async function compare(sides: readonly Side[]): Promise<void> {
  for (const side of sides) await measureRequests(side, 1, 200);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const [bareMiB = Number.NaN, routerMiB = Number.NaN] = sides.map(({ pid }) => residentMiB(pid));
  for (const side of sides) await measureRequests(side, CONNECTIONS, WARM_UP_MS);
  const requests = await rounds<RequestResult>(sides, (side) => measureRequests(side, CONNECTIONS, REQUESTS_MS));
  const streams = await rounds<StreamResult>(sides, (side) => measureStreams(side, STREAMS));
  console.log(
    `\nMedians of ${ROUNDS} interleaved rounds; ${CONNECTIONS} connections, then ${STREAMS} streams at once.\n`,
  );
  print([
    row("request, workerd CPU, ms", requests, (result) => result.cpuMsPerRequest),
    row("request, latency p50, ms", requests, (result) => result.p50Ms),
    row("requests per second", requests, (result) => result.requestsPerSecond),
    row(`stream of ${CHUNKS} chunks ${GAP_MS} ms apart, CPU, ms`, streams, (result) => result.cpuMsPerStream),
    row("chunk, provider to client, p50, ms", streams, (result) => result.delayP50Ms),
    row("chunk, provider to client, p99, ms", streams, (result) => result.delayP99Ms),
    { what: "idle memory of workerd, MiB", bare: bareMiB, router: routerMiB },
  ]);
}

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "flow-bench-"));
  await bundle(directory);
  process.env[BUNDLE_VARIABLE] = directory;
  const provider = await startProvider();
  const bare = await started(() => startWorker({ script: BARE, vars: { UPSTREAM: provider.baseUrl } }));
  const vars = { OPENAI_API_KEY: "sk-bench", OPENAI_BASE_URL: provider.baseUrl };
  const router = await started(() => startWorker({ vars }));
  try {
    const key = await prepareRouter(router.worker);
    await compare([
      { name: "bare", url: bare.worker.url, headers: {}, pid: bare.pid },
      { name: "router", url: router.worker.url, headers: { authorization: `Bearer ${key}` }, pid: router.pid },
    ]);
  } finally {
    await Promise.all([bare.worker.stop(), router.worker.stop()]);
    provider.child.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

await main();
