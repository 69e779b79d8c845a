/**
 * `npm run test:attack`: ten thousand hostile requests and answers against the three promises.
 *
 * An unapproved result of a tool reaches no provider, and an undecided call no client. No key passes its limit, whatever
 * the parts. No tenant harms another: every answer has a code, the isolate lives, and the others' requests are answered
 * by the target that they would have had.
 *
 * `FLOW_TRIES` says how many (10,000), `FLOW_SEED` which ones, `FLOW_TRY=<number>` runs one of them alone, `FLOW_KINDS`
 * those of some kinds. A failure names the seed and the try. Doors are rows of `attack/doors.ts`, wires of providers of `attack/targets.ts`.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { billedWire, wireAt } from "../support/billed.ts";
import type { Script } from "../support/upstream.ts";
import type { CreatedKey } from "../support/worker.ts";
import { billOf } from "./attack/books.ts";
import { Chance } from "./attack/chance.ts";
import { DOORS, type Door } from "./attack/doors.ts";
import { contentFault, junkRequest } from "./attack/faults.ts";
import { callAnswer } from "./attack/hostile-answers.ts";
import { type Answered, hasKeyOf, holderOf, readAll, wrongAnswer } from "./attack/oracles.ts";
import { type Gate, isStreamed, type Purpose, type Stage, startStage, tokenOf } from "./attack/stage.ts";
import { type AttackTarget, TARGETS } from "./attack/targets.ts";

const SEED = Number(process.env["FLOW_SEED"] ?? Date.now() % 1_000_000_000);
const TRIES = Number(process.env["FLOW_TRIES"] ?? 10_000);
const ONLY = process.env["FLOW_TRY"] === undefined ? null : Number(process.env["FLOW_TRY"]);
/** Of these kinds alone: `FLOW_KINDS=dear,poison`. */
const KINDS = process.env["FLOW_KINDS"]?.split(",");
const BATCH = 40;
const AT_ONCE = 6;
/** A victim waits no longer, on a machine that others use too. */
const VICTIM_MS = 15_000;
/** Far above what the Worker is measured at; a leak of bodies or answers passes it. */
const MAX_RESIDENT_MIB = 900;

type Kind = "smuggle" | "shape" | "answer" | "dear" | "poison" | "heavy" | "junk";
/** In so many of a hundred tries. */
const SHARES: readonly (readonly [Kind, number])[] = [
  ...([
    ["smuggle", 28],
    ["answer", 26],
    ["dear", 18],
    ["shape", 10],
  ] as const),
  ...([
    ["poison", 10],
    ["heavy", 3],
    ["junk", 5],
  ] as const),
];

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
}, 60_000);
afterAll(() => stage.stop());

const counts = new Map<string, number>();
const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);

/** So many are told; the rest would say the same. */
const MAX_BROKEN = 12;
const broken: string[] = [];

/** Keeps what is wrong, with all it takes to see it again. */
function refute(attempt: number, kind: Kind, what: string): void {
  count(`${kind} broke`);
  if (broken.length >= MAX_BROKEN) return;
  const again = `FLOW_SEED=${SEED} FLOW_TRY=${attempt} npm run test:attack`;
  broken.push(`try ${attempt} (${kind}): ${what}\n  again: ${again}`);
}

function kindOf(chance: Chance): Kind {
  let drawn = chance.below(SHARES.reduce((sum, [, share]) => sum + share, 0));
  for (const [kind, share] of SHARES) {
    if (drawn < share) return KINDS === undefined || KINDS.includes(kind) ? kind : (chance.pick(KINDS) as Kind);
    drawn -= share;
  }
  return "smuggle";
}

interface Money {
  readonly key: CreatedKey;
  readonly limitUsd: number;
  /** What the provider bills for requests that were admitted, by try. */
  readonly bills: Map<number, number>;
  /** Where the provider saw something that costs what nobody can hold: what, and in which request. */
  readonly dear: Map<number, string>;
  readonly admitted: Set<number>;
}

async function send(door: Door, key: string, body: string, headers: Record<string, string> = {}): Promise<Answered> {
  const init = { method: "POST", headers: { ...door.headers(key), ...headers }, body };
  return readAll(await stage.worker.fetch(door.path, init));
}

/** Where and as whom a request meets a gate. */
function gateOf(
  chance: Chance,
  target: AttackTarget,
  gates: readonly Gate[] = ["policy", "body", "header", "record"],
): { gate: Gate; model: string; key: string; headers: Record<string, string> } {
  const gate = chance.pick(gates);
  const purpose: Purpose = gate === "policy" ? "gated" : "open";
  const key = gate === "record" ? stage.recorded.key : stage.attacker.key;
  const headers: Record<string, string> = gate === "header" ? { "x-flowlayer-require-tool-approval": "True" } : {};
  return { gate, model: stage.route(target, purpose), key, headers };
}

/** The body with the flag that asks for approval. */
function withGate(body: string, gate: Gate): string {
  return gate === "body" ? body.replace(/\}$/, ',"route":{"require_tool_approval":true}}') : body;
}

async function attempt(number: number, money: Money): Promise<void> {
  const chance = new Chance((SEED + Math.imul(number, 0x9e3779b1)) >>> 0);
  const kind = kindOf(chance);
  const target = chance.pick(TARGETS);
  const door = chance.pick(DOORS);
  const token = tokenOf(number);
  const marker = `unapproved${number}marker`;
  const bad = (what: string): void => refute(number, kind, `${door.name} → ${target.provider}: ${what}`);
  count(kind);
  let answered: Answered;
  switch (kind) {
    case "smuggle": {
      const { gate, model, key, headers } = gateOf(chance, target);
      const body = withGate(door.requests.smuggled(chance, model, token, marker, gate !== "record"), gate);
      answered = await send(door, key, body, headers);
      const holder = holderOf(stage.upstream.calls, marker);
      if (holder !== undefined)
        bad(`gate by ${gate}, sent ${body.slice(0, 1_500)}\n  upstream got ${holder.body.slice(0, 1_500)}`);
      count(answered.status === 200 ? "smuggle went on without" : "smuggle refused");
      break;
    }
    case "shape": {
      const { gate, model, key, headers } = gateOf(chance, target);
      const body = withGate(door.requests.shapeless(chance, model, token), gate);
      answered = await send(door, key, body, headers);
      for (const call of stage.upstream.calls.filter((each) => each.body.includes(token))) {
        const sent = JSON.parse(call.body) as Record<string, unknown>;
        const canaries = new Set(door.requests.canaries);
        // How Google's own wire writes the result of a call that is nobody's: the record knows it not.
        if (target.provider === "google") canaries.delete("functionResponse");
        const isUnread = door.requests.readObjects(sent).some((each) => hasKeyOf(each, canaries));
        if (isUnread) bad(`gate by ${gate}, sent ${body.slice(0, 1_500)}\n  upstream got ${call.body.slice(0, 1_500)}`);
      }
      count(answered.status === 200 ? "shape went on" : "shape refused");
      break;
    }
    case "answer": {
      const { gate, model, key, headers } = gateOf(chance, target, ["policy", "body", "header"]);
      const stream = chance.percent(60);
      let script: Script | null = null;
      stage.acts.set(number, ({ path }) => {
        script ??= callAnswer(chance, wireAt(path, target.provider), marker, stream);
        return script;
      });
      const tools = [{ type: "function", function: { name: "wipe", parameters: { type: "object", properties: {} } } }];
      const usage = stream && chance.percent(50) ? { stream_options: { include_usage: true } } : {};
      const body = withGate(door.requests.plain(model, token, { tools, stream, ...usage }), gate);
      answered = await send(door, key, body, headers);
      count(
        answered.text.includes("`wipe`")
          ? "answer withheld"
          : answered.status === 200
            ? "answer passed without"
            : "answer refused",
      );
      const seen = answered.text + JSON.stringify([...answered.headers]);
      if (seen.includes(marker)) {
        const { body: whole, events } = (script as Script | null) ?? {};
        const said = (whole ?? events?.map((each) => Buffer.from(each as string).toString()).join("")) as string;
        bad(
          `gate by ${gate}, the provider said ${said.slice(0, 1_500)}\n  the client got ${answered.text.slice(0, 1_500)}`,
        );
      }
      break;
    }
    case "dear": {
      stage.acts.set(number, (call, asked) => {
        const bill = billOf(call, asked);
        money.bills.set(number, (money.bills.get(number) ?? 0) + bill.usd);
        if (bill.dear !== null) money.dear.set(number, `${bill.dear} in ${call.body.slice(0, 1_000)}`);
        const wire = billedWire(wireAt(call.path, asked.provider));
        return { ...wire[isStreamed(call) ? "stream" : "whole"]("Dear.", bill), headMs: chance.below(30) };
      });
      answered = await send(door, money.key.key, door.requests.dear(chance, stage.route(target, "dear"), token));
      if (answered.status === 200) money.admitted.add(number);
      count(answered.status === 200 ? "dear admitted" : "dear refused");
      break;
    }
    case "poison": {
      const fault = contentFault(chance);
      stage.acts.set(number, () => fault);
      const more = { stream: chance.percent(40), route: { only: [target.provider] } };
      answered = await send(door, stage.attacker.key, door.requests.plain(stage.route(target, "shared"), token, more));
      break;
    }
    case "heavy":
      answered = await send(door, stage.attacker.key, door.requests.heavy(chance, stage.route(target, "open"), token));
      break;
    case "junk": {
      const { path, init } = junkRequest(chance, stage.attacker.key);
      answered = await readAll(await stage.worker.fetch(path, init));
      break;
    }
  }
  const wrong = wrongAnswer(answered);
  if (wrong !== null) bad(wrong);
}

/** Another tenant's plain request is answered by its first target, soon. */
async function checkVictims(upTo: number): Promise<void> {
  const door = DOORS[upTo % DOORS.length]!;
  await Promise.all(
    TARGETS.map(async (target) => {
      const startedAt = performance.now();
      const answered = await send(door, stage.victim.key, door.requests.plain(stage.route(target, "shared"), "hello"));
      const log = answered.headers.get("x-flowlayer-attempt-log") ?? "";
      const tookMs = performance.now() - startedAt;
      if (answered.status !== 200 || !log.startsWith(`${target.provider}/shared-model;ok;`)) {
        refute(
          upTo,
          "poison",
          `a victim on ${target.provider} got ${answered.status} by ${log}: ${answered.text.slice(0, 200)}`,
        );
      }
      if (tookMs > VICTIM_MS) refute(upTo, "heavy", `a victim waited ${tookMs.toFixed(0)} ms`);
    }),
  );
}

async function newMoney(chance: Chance): Promise<Money> {
  const limitUsd = chance.pick([0.01, 0.1, 0.5, 2]);
  const key = await stage.worker.createKey({ budget: { limit_usd: limitUsd, period: "total" } });
  return { key, limitUsd, bills: new Map(), dear: new Map(), admitted: new Set() };
}

interface Spend {
  readonly spent_usd: number;
  readonly reserved_usd: number;
}

/** The provider's books against the key's. */
async function audit({ key, limitUsd, bills, dear, admitted }: Money, upTo: number): Promise<void> {
  const spend = async (): Promise<Spend> =>
    ((await (await stage.worker.admin(`/admin/keys/${key.id}`)).json()) as { spend: Spend }).spend;
  await expect.poll(async () => (await spend()).reserved_usd, { timeout: 20_000, interval: 100 }).toBe(0);
  const { spent_usd } = await spend();
  const billed = [...admitted].reduce((sum, number) => sum + (bills.get(number) ?? 0), 0);
  for (const [number, what] of dear) refute(number, "dear", `a request was sent that nothing bounds: ${what}`);
  const tries = [...admitted].join(", ");
  if (billed > limitUsd + 1e-9)
    refute(upTo, "dear", `a key of ${limitUsd} USD was billed ${billed} USD by tries ${tries}`);
  if (spent_usd > limitUsd + 1e-9)
    refute(upTo, "dear", `a key of ${limitUsd} USD has spent ${spent_usd} USD by tries ${tries}`);
  if (spent_usd < billed - 1e-6) refute(upTo, "dear", `billed ${billed} USD, booked ${spent_usd} USD, tries ${tries}`);
  if (admitted.size === 0) return;
  const headers = { authorization: `Bearer ${key.key}` };
  const list = await stage.worker.fetch("/v1/traces?status=ok&limit=1000", { headers });
  const { data } = (await list.json()) as {
    data: readonly { readonly id: string; readonly cost_usd: number | null }[];
  };
  for (const { id, cost_usd } of data) {
    if (!(Number(cost_usd) > 0)) refute(upTo, "dear", `the answered request ${id} was booked as ${cost_usd}`);
  }
}

function checkIsolate(upTo: number): void {
  const logs = stage.worker.logs();
  const found = /.*(?:unexpected_error|[Uu]ncaught|[Uu]nhandled|spend_unsettled|[Ee]xceeded (?:CPU|memory)).*/.exec(
    logs,
  )?.[0];
  if (found !== undefined) refute(upTo, "junk", `the log says ${found.slice(0, 400)}`);
  const mib = stage.residentMiB();
  if (mib > MAX_RESIDENT_MIB) refute(upTo, "heavy", `the Worker's process holds ${mib.toFixed(0)} MiB`);
}

test("no hostile request and no hostile answer breaks a promise", { timeout: 3_600_000 }, async () => {
  console.log(`attack: seed ${SEED}, ${ONLY === null ? `${TRIES} tries` : `try ${ONLY} alone`}`);
  const startedAt = performance.now();
  let dearestMs = 0;
  const numbers = ONLY === null ? Array.from({ length: TRIES }, (_, at) => at + 1) : [ONLY];
  for (let from = 0; from < numbers.length && broken.length < MAX_BROKEN; from += BATCH) {
    const batch = numbers.slice(from, from + BATCH);
    const last = batch.at(-1) ?? 0;
    const money = await newMoney(new Chance(SEED + last));
    const cpuBefore = stage.cpuMs();
    const waiting = batch.values();
    const lane = async (): Promise<void> => {
      for (const number of waiting) await attempt(number, money);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    dearestMs = Math.max(dearestMs, (stage.cpuMs() - cpuBefore) / batch.length);
    await checkVictims(last);
    await audit(money, last);
    checkIsolate(last);
    stage.acts.clear();
    stage.upstream.calls.length = 0;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(
    `attack: ${numbers.length} tries in ${seconds.toFixed(0)} s; ${[...counts].map((each) => each.join(" ")).join(", ")}`,
  );
  console.log(
    `attack: at most ${dearestMs.toFixed(1)} ms of processor time per try in a batch, ${stage.residentMiB().toFixed(0)} MiB resident`,
  );
  if (broken.length > 0) throw new Error(`${broken.length} promises broken\n\n${broken.join("\n\n")}`);
  if (ONLY !== null) return;
  // What is never refused, or never goes on, tests nothing.
  for (const what of ["smuggle went on without", "smuggle refused", "dear admitted", "dear refused", "shape refused"]) {
    if (numbers.length >= 1_000) expect(counts.get(what) ?? 0, what).toBeGreaterThan(0);
  }
});
