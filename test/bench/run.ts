/**
 * `npm run bench`: what the router costs, against a bare Worker that only forwards, in the same run; what hedging
 * gains, what a budget costs, and what the operator's questions and held answers do. `npm run bench -- hedge` runs one section alone, see `SECTIONS`.
 *
 * Both run in a workerd of their own behind direct sockets, call the same provider, and take turns, so that whatever
 * else the machine does hits both. Absolute numbers are of this machine; the ratios are the result. The router's
 * workerd also runs the local stand-ins for KV and Durable Objects, so its share is an upper bound.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUNDLE_VARIABLE, bundle } from "../support/build.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";
import { compareBudget } from "./budget.ts";
import { compareHedging } from "./hedge.ts";
import { compareHotKey } from "./hot-key.ts";
import {
  MESSAGES_DOOR,
  measureRequests,
  measureStreams,
  median,
  RESPONSES_DOOR,
  type RequestResult,
  residentMiB,
  type Side,
  STORED_DOOR,
  type StreamResult,
  workerdChildren,
} from "./measure.ts";
import { compareMetrics } from "./metrics.ts";
import { compareOperator } from "./operator.ts";
import { countRows } from "./rows.ts";
import { measureTrail } from "./trail.ts";
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

/** A pump as short as one can be, for what a router has to read at all: a read, a write. */
const PUMP = `export default { async fetch(request, env, ctx) {
  const { method, headers, body, signal } = request;
  const upstream = await fetch(env.UPSTREAM + "/chat/completions", { method, headers, body, signal });
  const out = new IdentityTransformStream();
  ctx.waitUntil((async () => {
    const reader = upstream.body.getReader();
    const writer = out.writable.getWriter();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await writer.write(value);
    }
    await writer.close();
  })());
  return new Response(out.readable, upstream);
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
  await worker.putRoute("production", "translated", { targets: [{ provider: "anthropic", model: "claude-opus-5" }] });
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

/** Reading every event, and writing it anew, against forwarding what comes. */
async function comparePumps(sides: readonly Side[]): Promise<void> {
  for (const side of sides) await measureStreams(side, 5);
  const streams = await rounds<StreamResult>(sides, (side) => measureStreams(side, STREAMS));
  console.log(`\nThe same against a Worker that reads and writes; ${STREAMS} streams at once.\n`);
  const what = (name: string): string => `${CHUNKS} chunks ${name}, CPU, ms`;
  const pick = (result: StreamResult): number => result.cpuMsPerStream;
  const pairs = (index: number): StreamResult[][] => streams.map((round) => [round[0]!, round[index]!]);
  print([
    row(what("looked at"), pairs(1), pick),
    row(what("translated"), pairs(2), pick),
    row("chunk translated, to the client, p50, ms", pairs(2), (result) => result.delayP50Ms),
  ]);
}

/** Streams of the other doors whose target speaks the same wire, against chat's own. */
async function compareLanes(sides: readonly Side[]): Promise<void> {
  for (const side of sides) await measureStreams(side, 5);
  const streams = await rounds<StreamResult>(sides, (side) => measureStreams(side, STREAMS));
  console.log(`\nNative streams of other doors; "bare" is chat's here; ${STREAMS} streams at once.\n`);
  const pick = (result: StreamResult): number => result.cpuMsPerStream;
  const others = sides.slice(1).map(({ name }, index) => {
    const pairs = streams.map((round) => [round[0]!, round[index + 1]!]);
    return row(`${CHUNKS} chunks, ${name}, CPU, ms`, pairs, pick);
  });
  print(others);
}

/** Parsing the catalogue and finding a model, in this process: the same engine, and no request around it. */
async function printLookUp(directory: string): Promise<void> {
  const { resolve } = createRequire(import.meta.url);
  const esbuild = createRequire(resolve("wrangler"))("esbuild") as { buildSync(options: object): unknown };
  const outfile = join(directory, "catalog.mjs");
  const entry = join(import.meta.dirname, "../../src/catalog/index.ts");
  esbuild.buildSync({ entryPoints: [entry], outfile, bundle: true, format: "esm", loader: { ".json": "text" } });
  const { findModel } = (await import(outfile)) as { findModel(provider: string, model: string): unknown };
  const times = ["gpt-5", "gpt-5-mini"].map((model) => {
    const startedAt = performance.now();
    if (findModel("openai", model) === undefined) throw new Error(`${model} is not in the catalogue.`);
    return performance.now() - startedAt;
  });
  const [first = Number.NaN, second = Number.NaN] = times;
  console.log(`\nCatalogue, first look-up ${first.toFixed(2)} ms, the next one ${second.toFixed(3)} ms.`);
}

const SECTIONS = [
  "requests",
  "pumps",
  "lanes",
  "catalogue",
  "hedge",
  "budget",
  "operator",
  "metrics",
  "rows",
  "trail",
  "hot",
] as const;
type Section = (typeof SECTIONS)[number];

/** The sections that were named on the command line; all of them without a name. */
function wantedSections(): readonly Section[] {
  const names = process.argv.slice(2);
  const wanted = SECTIONS.filter((section) => names.length === 0 || names.includes(section));
  if (wanted.length < names.length || wanted.length === 0) {
    throw new Error(`Unknown section. There are: ${SECTIONS.join(", ")}.`);
  }
  return wanted;
}

async function main(): Promise<void> {
  const sections = wantedSections();
  const directory = await mkdtemp(join(tmpdir(), "flow-bench-"));
  await bundle(directory);
  process.env[BUNDLE_VARIABLE] = directory;
  const provider = await startProvider();
  const bare = await started(() => startWorker({ script: BARE, vars: { UPSTREAM: provider.baseUrl } }));
  const pump = await started(() => startWorker({ script: PUMP, vars: { UPSTREAM: provider.baseUrl } }));
  const vars = {
    ...{ OPENAI_API_KEY: "sk-bench", OPENAI_BASE_URL: provider.baseUrl },
    ...{ ANTHROPIC_API_KEY: "sk-bench", ANTHROPIC_BASE_URL: provider.baseUrl },
  };
  const router = await started(() => startWorker({ vars }));
  try {
    const key = await prepareRouter(router.worker);
    const headers = { authorization: `Bearer ${key}` };
    const through = { name: "router", url: router.worker.url, headers, pid: router.pid };
    const bareSide = { name: "bare", url: bare.worker.url, headers: {}, pid: bare.pid };
    const sides = [bareSide, through];
    const pumps = [
      { name: "pump", url: pump.worker.url, headers: {}, pid: pump.pid },
      { ...through, name: "read", usage: false },
      { ...through, name: "translated", route: "translated" },
    ];
    const lanes = [
      { ...through, name: "chat" },
      { ...through, name: "Messages", route: "translated", door: MESSAGES_DOOR },
      { ...through, name: "Responses, not stored", door: RESPONSES_DOOR },
      { ...through, name: "Responses, stored", door: STORED_DOOR },
    ];
    const run: Record<Section, () => Promise<void>> = {
      requests: () => compare(sides),
      pumps: () => comparePumps(pumps),
      lanes: () => compareLanes(lanes),
      catalogue: () => printLookUp(directory),
      hedge: () => compareHedging(router.worker, key),
      budget: () => compareBudget(bareSide, through, router.worker, vars),
      operator: compareOperator,
      metrics: compareMetrics,
      rows: () => countRows(provider.baseUrl),
      trail: () => measureTrail(),
      hot: () => compareHotKey(),
    };
    for (const section of sections) await run[section]();
  } finally {
    await Promise.all([bare, pump, router].map(({ worker }) => worker.stop()));
    provider.child.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

await main();
