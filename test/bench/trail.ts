/**
 * `npm run bench -- trail`: what one object of the trail takes a second and writes per trace, as the object of a day and
 * as a shard; and what questions take over 7 days of 10,000 traces, filters that match nothing among them.
 */
import { startWorker, type TestWorker } from "../support/worker.ts";
import { makeTrace } from "../unit/trace-index/fakes.ts";
import { median } from "./measure.ts";

const TRACES = 10_000;
const DAYS = 7;
/** One day with many. */
const MANY = 200_000;
const ASKED = 9;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const KEYS = 100;

/** Fills objects from inside the process, and counts what they write and who is asked. */
const FRONT = `
import app, { TrailIndex as Product } from "./index.js";
export * from "./index.js";

let cursors = [];
let asked = 0;

export class TrailIndex extends Product {
  constructor(ctx, env) {
    const { sql } = ctx.storage;
    const exec = sql.exec.bind(sql);
    Object.defineProperty(sql, "exec", {
      value: (...parameters) => {
        const cursor = exec(...parameters);
        cursors.push(cursor);
        return cursor;
      },
    });
    super(ctx, env);
  }
  async list(query) {
    asked++;
    return super.list(query);
  }
  async spread(from) {
    this.ctx.storage.sql.exec("INSERT INTO spread (from_at, shards) VALUES (?, 1)", from);
    await this.ctx.storage.sync();
    this.ctx.abort("the next instance reads it");
  }
  async sent() {
    await this.alarm();
  }
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
function base62(value, length) {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 62)) text = DIGITS[rest % 62] + text;
  return text;
}

function shardOf(keyId, of) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < keyId.length; at++) hash = Math.imul(hash ^ keyId.charCodeAt(at), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % of;
}

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === "/asked") {
      const answer = asked;
      asked = 0;
      return Response.json(answer);
    }
    if (pathname === "/grow") {
      const { env: name, day, keys, seconds, trace } = await request.json();
      const endsAt = Date.now() + seconds * 1_000;
      let spread = { steps: [] };
      const counts = {};
      let nth = 0;
      const work = async () => {
        while (Date.now() < endsAt) {
          const keyId = keys[nth % keys.length];
          const at = Date.now();
          const id = "tr_" + keyId + base62(at, 8) + base62(nth++, 12);
          const made = { ...trace, id, created_at: new Date(at).toISOString(), key_id: keyId };
          const of = spread.steps.findLast(({ from }) => from <= at)?.shards ?? 0;
          const hour = new Date(at).toISOString().slice(11, 13);
          const place = of === 0 ? name + ":" + day : name + ":" + day + ":" + hour + "." + shardOf(keyId, of) + "-" + of;
          const rows = [{ seq: nth, trace: JSON.stringify(made), unadmittedNanoUsd: 0 }];
          const receipt = await env.TRAIL_INDEX.getByName(place).ingest({ keyId, rows });
          spread = receipt.spread ?? spread;
          counts[of] = (counts[of] ?? 0) + 1;
        }
      };
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: 128 }, work));
      return Response.json({ counts, seconds: (performance.now() - startedAt) / 1_000 });
    }
    if (pathname === "/spread") {
      const { name, hourAt, from } = await request.json();
      await env.TRAIL_INDEX.getByName(name).join({ hourAt, number: 0, of: 1 }, 0);
      await env.TRAIL_INDEX.getByName(name).spread(from).catch(() => {});
      return new Response();
    }
    if (pathname !== "/fill") return app.fetch(request, env, context);
    const { name, count, batch, keys, from, spanMs, trace } = await request.json();
    cursors = [];
    const object = env.TRAIL_INDEX.getByName(name);
    const calls = Array.from({ length: count / batch }, (_, call) => {
      const keyId = keys[call % keys.length];
      const rows = Array.from({ length: batch }, (_, at) => {
        const nth = call * batch + at;
        const createdAt = from + Math.floor((nth / count) * spanMs);
        const id = "tr_" + keyId + base62(createdAt, 8) + base62(nth, 12);
        const status = nth % 50 === 0 ? "error" : "ok";
        const made = { ...trace, id, created_at: new Date(createdAt).toISOString(), key_id: keyId, status };
        return { seq: nth + 1, trace: JSON.stringify(made), unadmittedNanoUsd: 0 };
      });
      return { keyId, rows };
    });
    const waiting = calls.values();
    const startedAt = performance.now();
    const work = async () => {
      for (const each of waiting) await object.ingest(each);
    };
    await Promise.all(Array.from({ length: 128 }, work));
    await object.sent();
    const ms = performance.now() - startedAt;
    return Response.json({ ms, rows: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0) });
  },
};
`;

const keyIds = Array.from({ length: KEYS }, (_, at) => `benchkey${String(at).padStart(4, "0")}`);
const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const dateOf = (at: number): string => new Date(at).toISOString().slice(0, 10);

interface Filled {
  readonly ms: number;
  readonly rows: number;
}

async function fill(
  worker: TestWorker,
  env: string,
  place: { readonly name: string; readonly from: number; readonly spanMs: number },
  count: number,
  batch: number,
): Promise<Filled> {
  const body = JSON.stringify({ ...place, count, batch, keys: keyIds, trace: makeTrace({ env }) });
  const startedAt = performance.now();
  const filled = (await (await worker.fetch("/fill", { method: "POST", body })).json()) as Filled;
  return { ...filled, ms: performance.now() - startedAt };
}

async function measureIngestion(worker: TestWorker): Promise<void> {
  console.log(`\nOne object of the trail, ${TRACES} traces, 128 calls at a time\n`);
  console.log(`${"".padEnd(34)}${"traces/s".padStart(10)}${"calls/s".padStart(10)}${"rows/trace".padStart(12)}`);
  for (const batch of [1, 10, 50]) {
    for (const kind of ["the object of a day", "a shard"]) {
      const env = `${kind === "a shard" ? "shard" : "day"}-${batch}`;
      const from = today - DAY_MS + 3 * HOUR_MS;
      const name = `${env}:${dateOf(from)}${kind === "a shard" ? ":03.0-1" : ""}`;
      if (kind === "a shard") {
        // Its day says that all of its time goes there.
        const spread = { name: `${env}:${dateOf(from)}`, hourAt: from, from: today - DAY_MS };
        await worker.fetch("/spread", { method: "POST", body: JSON.stringify(spread) });
      }
      const { ms, rows } = await fill(worker, env, { name, from, spanMs: 600_000 }, TRACES, batch);
      const cells = [(TRACES * 1_000) / ms, (TRACES * 1_000) / ms / batch, rows / TRACES];
      const label = `${kind}, ${batch} traces a call`;
      console.log(
        label.padEnd(34) +
          cells.map((cell, at) => (at === 2 ? cell.toFixed(2).padStart(12) : cell.toFixed(0).padStart(10))).join(""),
      );
    }
  }
}

interface Page {
  readonly data: readonly unknown[];
  readonly next_cursor: string | null;
}

/** Medians of whole answers, all pages of those that are empty. */
async function ask(worker: TestWorker, label: string, query: string): Promise<void> {
  const times: number[] = [];
  let [pages, found, asked] = [0, 0, 0];
  for (let turn = 0; turn < ASKED; turn++) {
    await worker.fetch("/asked");
    const startedAt = performance.now();
    [pages, found] = [0, 0];
    for (let cursor = ""; ; ) {
      const response = await worker.admin(`/admin/traces?${query}${cursor}`);
      const page = (await response.json()) as Page;
      if (response.status !== 200) throw new Error(`${query} answered ${response.status}: ${JSON.stringify(page)}`);
      pages++;
      found += page.data.length;
      if (page.next_cursor === null || found > 0) break;
      cursor = `&cursor=${page.next_cursor}`;
    }
    times.push(performance.now() - startedAt);
    asked = (await (await worker.fetch("/asked")).json()) as number;
  }
  const cells = [median(times).toFixed(1), String(asked), String(pages), String(found)];
  console.log(label.padEnd(52) + cells.map((cell) => cell.padStart(9)).join(""));
}

async function measureQuestions(worker: TestWorker): Promise<void> {
  const env = "asked";
  await worker.createKey({ env });
  for (let back = 1; back <= DAYS; back++) {
    const from = today - back * DAY_MS;
    await fill(worker, env, { name: `${env}:${dateOf(from)}`, from, spanMs: DAY_MS }, TRACES, 50);
  }
  const since = `env=${env}&since=${dateOf(today - DAYS * DAY_MS)}T00:00:00Z`;
  console.log(`\n${DAYS} days of ${TRACES} traces; medians of ${ASKED}\n`);
  console.log("".padEnd(52) + ["ms", "calls", "pages", "found"].map((cell) => cell.padStart(9)).join(""));
  await ask(worker, "the newest 50", `${since}&limit=50`);
  await ask(worker, "the newest 50, with facets", `${since}&limit=50&facets=true`);
  await ask(worker, "50 of a key", `${since}&limit=50&key=${keyIds[3]}`);
  await ask(worker, "50 that failed", `${since}&limit=50&status=error`);
  await ask(worker, "nothing: an app that nobody has", `${since}&limit=50&app=nobody`);
  await ask(worker, "nothing: a key that has none", `${since}&limit=50&key=nobody000000`);
  await ask(worker, "nothing: a session", `${since}&limit=50&session=nobody`);
  await ask(
    worker,
    "nothing: an error code among those that failed",
    `${since}&limit=50&status=error&error_code=nothing`,
  );
  const from = today - 9 * DAY_MS;
  await worker.createKey({ env: "many" });
  await fill(worker, "many", { name: `many:${dateOf(from)}`, from, spanMs: DAY_MS }, MANY, 50);
  const day = `env=many&since=${dateOf(from)}T00:00:00Z&until=${dateOf(from + DAY_MS)}T00:00:00Z`;
  console.log(`\none day of ${MANY} traces\n`);
  await ask(worker, "the newest 50", `${day}&limit=50`);
  await ask(worker, "the newest 50, with facets", `${day}&limit=50&facets=true`);
  await ask(worker, "50 of a key", `${day}&limit=50&key=${keyIds[3]}`);
  await ask(worker, "nothing: an app that nobody has", `${day}&limit=50&app=nobody`);
  await ask(worker, "nothing: a session", `${day}&limit=50&session=nobody`);
}

/** How the trail of an environment grows that sends as much as it can, a trace a call. */
async function measureGrowth(worker: TestWorker): Promise<void> {
  const env = "grow";
  await worker.createKey({ env });
  const body = JSON.stringify({ env, day: dateOf(today), keys: keyIds, seconds: 100, trace: makeTrace({ env }) });
  const grown = (await (await worker.fetch("/grow", { method: "POST", body })).json()) as {
    readonly counts: Readonly<Record<string, number>>;
  };
  console.log(
    "\nan environment that sends as much as it can for 100 s, a trace a call: traces by the number of shards\n",
  );
  for (const [shards, count] of Object.entries(grown.counts)) console.log(`${shards.padStart(4)} shards: ${count}`);
  const sent = Object.values(grown.counts).reduce((sum, count) => sum + count, 0);
  type Spend = { readonly data: readonly { readonly group: { readonly env: string }; readonly requests: number }[] };
  for (let wait = 0; ; wait++) {
    const { data } = (await (await worker.admin("/admin/spend?group_by=env")).json()) as Spend;
    const summed = data.find(({ group }) => group.env === env)?.requests ?? 0;
    if (summed === sent || wait === 30) {
      console.log(`sent ${sent}, summed ${summed}, ${wait} s after the last one`);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  await ask(worker, "the newest 50", `env=${env}&limit=50`);
  await ask(worker, "50 of a key", `env=${env}&limit=50&key=${keyIds[3]}`);
}

export async function measureTrail(): Promise<void> {
  const worker = await startWorker({ front: FRONT });
  try {
    await measureGrowth(worker);
    await measureIngestion(worker);
    await measureQuestions(worker);
  } finally {
    await worker.stop();
  }
}
