/**
 * `npm run bench -- rows`: rows that the Durable Objects write per request, which are nearly all of the platform's bill.
 *
 * Counted are `rowsWritten` of every statement and one for every alarm that is set, in all objects together, until nothing
 * waits any more. The cells: a key without a budget, one with, one with limits; 200 requests one after the other, and 16
 * at once. Prices as on Cloudflare's page of Durable Objects, rows as on that of D1.
 */
import { startWorker, type TestWorker } from "../support/worker.ts";

const CLASSES = ["KeyLedger", "TrailIndex", "SpendArchive", "ProviderHealth", "ToolApprovals", "BudgetPool"];
const REQUESTS = 200;
const AT_ONCE = 16;
/** Priced, and no other section uses it. */
const MODEL = "gpt-4.1-mini-2030-02-02";
/** USD per million: requests of the Worker, calls of objects, rows. */
const PRICE = { request: 0.3, call: 0.15, row: 1 };

const CELLS = {
  "without budget": {},
  "with budget": { budget: { limit_usd: 1_000, period: "day" } },
  "with limits": { limits: { requests_per_minute: 100_000, tokens_per_minute: 1_000_000_000, concurrency: 1_000 } },
} as const;

/** Classes that count what each of their objects writes. Cursors are kept: their rows are known once they were read. */
const FRONT = `
import app, * as product from "./index.js";
export * from "./index.js";

let cursors = [];
let counts = {};
const add = (name, what, by) => {
  counts[name] ??= { rows: 0, alarms: 0, tables: {} };
  counts[name][what] += by;
};
/** "INSERT request", of the statement's text: which rows they are. */
const kindOf = (query) => {
  const words = query.trim().split(/[\\s(]+/, 5).filter((word) => !["OR", "INTO", "FROM", "IGNORE", "REPLACE"].includes(word));
  return words[0] + " " + words[1];
};

function counted(name) {
  const Product = product[name];
  if (Product === undefined) return undefined;
  return class extends Product {
    constructor(ctx, env) {
      const { sql } = ctx.storage;
      const exec = sql.exec.bind(sql);
      Object.defineProperty(sql, "exec", {
        value: (...parameters) => {
          const cursor = exec(...parameters);
          cursors.push([name, cursor, parameters[0]]);
          return cursor;
        },
      });
      const setAlarm = ctx.storage.setAlarm.bind(ctx.storage);
      Object.defineProperty(ctx.storage, "setAlarm", {
        value: (...parameters) => {
          add(name, "alarms", 1);
          return setAlarm(...parameters);
        },
      });
      super(ctx, env);
    }
  };
}
${CLASSES.map((name) => `const Counted${name} = counted("${name}");`).join("\n")}
export { ${CLASSES.map((name) => `Counted${name} as ${name}`).join(", ")} };

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/rows") return app.fetch(request, env, context);
    for (const [name, cursor, query] of cursors) {
      add(name, "rows", cursor.rowsWritten);
      if (cursor.rowsWritten === 0) continue;
      const { tables } = counts[name];
      tables[kindOf(query)] = (tables[kindOf(query)] ?? 0) + cursor.rowsWritten;
    }
    cursors = [];
    const answer = counts;
    if (request.method === "DELETE") counts = {};
    return Response.json(answer);
  },
};
`;

interface ClassCounts {
  readonly rows: number;
  readonly alarms: number;
  /** Rows by verb and table. */
  readonly tables: Readonly<Record<string, number>>;
}
type Counts = Readonly<Record<string, ClassCounts>>;

const sumOf = (counts: Counts): number =>
  Object.values(counts).reduce((sum, { rows, alarms }) => sum + rows + alarms, 0);

async function countOf(worker: TestWorker, method = "GET"): Promise<Counts> {
  return (await (await worker.fetch("/rows", { method })).json()) as Counts;
}

/** Until no row was written for longer than anything waits. */
async function quiet(worker: TestWorker): Promise<Counts> {
  let last = sumOf(await countOf(worker));
  for (let same = 0; same < 6; ) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = sumOf(await countOf(worker));
    same = now === last ? same + 1 : 0;
    last = now;
  }
  return countOf(worker);
}

async function ask(worker: TestWorker, key: string): Promise<void> {
  const response = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "flow/rows", max_tokens: 100, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
  if (response.status !== 200) throw new Error(`The router answers ${response.status}.`);
}

async function cell(worker: TestWorker, spec: object, atOnce: number): Promise<Counts> {
  const { key } = await worker.createKey({ ...spec });
  // Tables, and what is made once per key, are not a request's.
  await ask(worker, key);
  await quiet(worker);
  await countOf(worker, "DELETE");
  let left = REQUESTS;
  const run = async (): Promise<void> => {
    while (left-- > 0) await ask(worker, key);
  };
  await Promise.all(Array.from({ length: atOnce }, run));
  return quiet(worker);
}

/** What the objects of a class write, by statement. */
function partOf([name, { rows, alarms, tables }]: [string, ClassCounts]): string {
  const each = (count: number): string => (count / REQUESTS).toFixed(2);
  const most = Object.entries(tables).toSorted(([, a], [, b]) => b - a);
  const named = [...most, ["alarms", alarms] as const].filter(([, count]) => count > 0);
  return `    ${name} ${each(rows + alarms)}: ${named.map(([kind, count]) => `${kind} ${each(count)}`).join(", ")}`;
}

/** `baseUrl`: of a provider that answers at once. */
export async function countRows(baseUrl: string): Promise<void> {
  const vars = { OPENAI_API_KEY: "sk-bench", OPENAI_BASE_URL: baseUrl };
  const worker = await startWorker({ vars, front: FRONT });
  await worker.putRoute("production", "rows", { targets: [{ provider: "openai", model: MODEL }] });
  console.log(`\nRows written per request, ${REQUESTS} requests a cell`);
  console.log(`${"".padEnd(18)}${"one by one".padStart(12)}${`${AT_ONCE} at once`.padStart(12)}   USD per million`);
  for (const [name, spec] of Object.entries(CELLS)) {
    const figures: number[] = [];
    const parts: string[] = [];
    for (const atOnce of [1, AT_ONCE]) {
      const counts = await cell(worker, spec, atOnce);
      figures.push(sumOf(counts) / REQUESTS);
      parts.push(`  ${atOnce === 1 ? "one by one" : `${AT_ONCE} at once`}`, ...Object.entries(counts).map(partOf));
    }
    const usd = figures.map((rows) => (PRICE.request + rows * PRICE.row).toFixed(2)).join(" / ");
    console.log(`${name.padEnd(18)}${figures.map((rows) => rows.toFixed(2).padStart(12)).join("")}   ${usd}`);
    for (const part of parts) console.log(part);
  }
  await worker.stop();
}
