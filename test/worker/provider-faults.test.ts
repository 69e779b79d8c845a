/**
 * Faults of providers, each played byte by byte to a real Worker: what the client sees of it, how often each upstream
 * is asked, and what is on the record. The faults themselves are in the table.
 */
import "../support/trust.ts";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findModel } from "../../src/catalog/index.ts";
import type { Env } from "../../src/config.ts";
import { ERRORS } from "../../src/http/errors.ts";
import { routeKey, type Target } from "../../src/policy/schema.ts";
import { baseUrlName } from "../../src/providers/provider-settings.ts";
import type { Trace } from "../../src/traces/schema.ts";
import {
  CANARY_SECRET,
  type ChatRig,
  type ErrorBody,
  startChatRig,
  type TestRoute,
  wordsOnRequests,
} from "../support/chat.ts";
import { PLACES, type Place, type Places, startPlaces } from "../support/fault-places.ts";
import { type FaultCall, type FaultScript, type FaultServer, startFaultServer } from "../support/fault-server.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { parseResponse } from "../support/raw.ts";
import { type Chunk, eventData, readStream } from "../support/sse.ts";
import { type Call, chunks, completion, type Script } from "../support/upstream.ts";
import type { CreatedKey } from "../support/worker.ts";
import {
  BODY_CANARY,
  CLASSES,
  COUNTED_AS,
  ELSEWHERE,
  type Expected,
  FAULTS,
  type Mode,
  NOT_SHOWN,
  REQUESTS,
  type Row,
} from "./provider-faults.table.ts";

/** Tells an answer from a hang, on two cores that run several test files at once. It is no measurement. */
const ANSWER_MS = 4_500;
/** Every socket that must be closed is closed by then. */
const CLOSED_MS = 1_500;
/** Clocks of a policy, milliseconds: long enough for a busy machine to answer in. */
const CLOCKS = { first_token_ms: 5_000, idle_ms: 5_000, total_ms: 8_000 };
/** The one that has to ring: short enough to wait for. */
const SHORT_CLOCKS = { first_token: { first_token_ms: 900 }, idle: { idle_ms: 500 }, total: { total_ms: 1_000 } };
const SECOND = "second";

let rig: ChatRig;
let key: CreatedKey;
let env: Env;
let places: Places;
let canary: FaultServer;

beforeAll(async () => {
  places = await startPlaces();
  canary = await startFaultServer();
  const addresses = Object.entries(places.baseUrls).map(([place, url]) => [baseUrlName(PLACES[place as Place]), url]);
  rig = await startChatRig(Object.fromEntries(addresses), FAULTS_FRONT);
  key = await rig.worker.createKey();
  env = rig.worker.bindings();
  rig.upstream.script(playSecond);
  rig.upstream.scriptFor(SLOW_MODEL, (call) => ({ ...playSecond(call), headMs: SLOW_MS }));
});
afterAll(async () => {
  await rig.stop();
  await Promise.all([places.stop(), canary.stop()]);
});

/** Answers all that the first targets do not: a model with a price. */
const SECOND_MODEL = "llama-3.1-8b-instant";
/** The same, in no hurry: what the router has given up is over before it has answered. */
const SLOW_MODEL = "llama-3.3-70b-versatile";
const SLOW_MS = 600;

const playSecond = ({ body }: Call): Script =>
  body.includes('"stream":true') ? { events: chunks(SECOND) } : { json: completion({ text: SECOND }) };

let dayCount = 0;

/** A name no other row has, of a model with a price: a date behind it changes nothing about that. */
function ownModel(row: Row): string {
  const date = new Date(Date.UTC(2031, 0, 1 + dayCount++)).toISOString().slice(0, 10);
  return `${row.at === "translated" ? "claude-opus-4-5" : (row.model ?? "gpt-5")}-${date}`;
}

/** Straight to where the request path reads it: the control plane would keep a list of hundreds of routes. */
async function publish(
  name: string,
  targets: readonly Pick<Target, "provider" | "model">[],
  rest: object,
): Promise<void> {
  const facts = targets.map(({ provider, model }) => findModel(provider, model) ?? {});
  const record = { env: "production", name, version: 1, created_at: new Date().toISOString(), actor: "test" };
  await env.CONFIG.put(
    routeKey("production", name),
    JSON.stringify({ ...record, policy: { targets, ...rest }, facts }),
  );
}

interface Own {
  readonly row: Row;
  readonly mode: Mode;
  readonly expected: Expected;
  readonly route: TestRoute;
  /** Of the first target. */
  readonly model: string;
  /** Of the second one. */
  readonly second: string;
  readonly provider: string;
  readonly server: FaultServer | undefined;
  readonly scripts: readonly FaultScript[];
  /** Of the first target, since the last warm-up. */
  calls(): readonly FaultCall[];
  secondCalls(): number;
}

/** Every request carries the name of its first target. */
const secondCalls = (model: string): number => rig.upstream.calls.filter(({ body }) => body.includes(model)).length;

async function setUp(row: Row, mode: Mode, expected: Expected): Promise<Own> {
  const place = row.at ?? "scripted";
  const provider = PLACES[place];
  const model = ownModel(row);
  const name = `fault-${model}`;
  const second = row.maxBytes === undefined ? SECOND_MODEL : SLOW_MODEL;
  const targets = [
    { provider, model },
    { provider: "groq", model: second },
  ];
  const clock = row.clock === undefined ? {} : SHORT_CLOCKS[mode === "whole" ? "total" : row.clock];
  const timeouts = { ...CLOCKS, ...clock };
  await publish(name, targets, { retry: { backoff_ms: 10 }, timeouts, ...row.policy });
  const route: TestRoute = { model: `flow/${name}`, key: key.key, keyId: key.id, models: [model, second] };
  const server = places.server(place);
  const scripts = scriptsOf(row, mode);
  server?.script(model, ...scripts);
  let known = 0;
  for (; known < (row.warmUps ?? 0); known++) {
    const warm = await ask({ row, mode, route, model });
    expect(textOf(mode, warm.body)).toBe("text" in expected ? expected.text : SECOND);
  }
  const calls = (): readonly FaultCall[] => server?.callsTo(model).slice(known) ?? [];
  return {
    row,
    mode,
    expected,
    route,
    model,
    second,
    provider,
    server,
    scripts,
    calls,
    secondCalls: () => secondCalls(model),
  };
}

function scriptsOf({ play }: Row, mode: Mode): readonly FaultScript[] {
  const played = play?.(mode, canary.url) ?? [];
  return Array.isArray(played[0]) ? (played as readonly FaultScript[]) : [played as FaultScript];
}

async function ask(
  { row, mode, route, model }: Pick<Own, "row" | "mode" | "route" | "model">,
  more: object = {},
): Promise<{ response: Response; body: string; isBroken: boolean }> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const messages = [{ role: "user", content: model }];
  const response = await rig.ask(route, { messages, ...REQUESTS[mode], ...row.body, ...more }, { signal });
  return { response, ...(await readBody(response)) };
}

/** The text; of a very long one its begin and its end. What came of a body that broke off is kept. */
async function readBody(response: Response): Promise<{ body: string; isBroken: boolean }> {
  const parts: Uint8Array[] = [];
  let length = 0;
  let isBroken = false;
  try {
    for await (const part of response.body ?? []) {
      parts.push(part);
      length += part.byteLength;
      if (length > 2 * KEPT_BYTES && parts.length > KEPT_PARTS) parts.splice(-KEPT_PARTS, 1);
    }
  } catch (error) {
    // Our own patience, not the end of the body.
    if (error instanceof DOMException && error.name === "TimeoutError") throw error;
    isBroken = true;
  }
  return { body: Buffer.concat(parts).toString("utf8"), isBroken };
}

const KEPT_BYTES = 1024 * 1024;
const KEPT_PARTS = 16;

const textOf = (mode: Mode, body: string): string =>
  mode === "whole"
    ? ((JSON.parse(body) as { choices: [{ message: { content: string | null } }] }).choices[0].message.content ?? "")
    : streamedText(eventData(body));

/** The text of choice 0, whatever stands beside it. */
function streamedText(data: readonly string[]): string {
  const chunk = (each: string): Chunk => (each === "[DONE]" ? {} : (JSON.parse(each) as Chunk));
  return data.map((each) => chunk(each).choices?.[0]?.delta?.content ?? "").join("");
}

async function until(isTrue: () => boolean, limitMs: number): Promise<boolean> {
  // No `expect.poll`: it refuses to work in tests that run side by side.
  for (const giveUpAt = Date.now() + limitMs; !isTrue() && Date.now() < giveUpAt; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return isTrue();
}

/** Attempts at the first target, as they stand on the record. */
function attemptsOf({ expected, provider, model, second }: Own): string[] {
  const failed = (expected.failed ?? []).map((each) => `${provider}/${model};${each}`);
  switch (expected.sees) {
    case "second":
      return [...failed, `groq/${second};ok;200`];
    case "answer":
      return [...failed, `${provider}/${model};ok;200`];
    case "cut":
      return [...failed, `${provider}/${model};${expected.outcome};200`];
    case "refusal":
      return failed;
  }
}

const reasonOf = ({ expected }: Own): string | null =>
  expected.sees === "second" ? (expected.failed[0] ?? "").replace(/;.*/, "") : null;

function expectClient(own: Own, response: Response, body: string, isBroken: boolean): void {
  const { expected, mode, row } = own;
  expect(isBroken).toBe(expected.sees === "cut");
  if (expected.sees === "refusal") {
    expectErrorBody(response, body, expected);
    return;
  }
  expect({ status: response.status, body: response.status === 200 ? "" : body }).toEqual({ status: 200, body: "" });
  expect(response.headers.get("content-type")).toMatch(mode === "whole" ? /^application\/json/ : /^text\/event-stream/);
  if (expected.sees === "cut") expectCut(body, expected.text, mode, row.ownError === true);
  else {
    expectText(textOf(mode, uptoDone(body)), expected.sees === "second" ? SECOND : expected.text);
    if (mode === "whole") return;
    expect(eventData(body)).toContain("[DONE]");
    expect(body).not.toContain('"error"');
  }
}

function expectErrorBody(
  response: Response,
  body: string,
  wanted: { status: number; code: keyof typeof ERRORS; isUnnamed?: true },
): void {
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  const { error, flow } = JSON.parse(body) as ErrorBody;
  const { type, retry } = ERRORS[wanted.code];
  const { status, code } = wanted;
  const isNamed = code === "upstream_rate_limited" && wanted.isUnnamed !== true;
  expect({ status: response.status, code: error.code, type: error.type }).toEqual({ status, code, type });
  // Nobody has waited for a time that the provider named.
  expect(response.headers.get("x-should-retry")).toBe(String(isNamed || retry));
  expect(flow["trace_id"]).toBe(response.headers.get("x-request-id"));
  expect(error.attempts?.length).toBeGreaterThan(0);
}

/** What came, then one error event, and no `[DONE]`. Natively the last event before it may be half. */
/** `isOwn`: the provider's own error has reached the client as it came, and nothing stands behind it. */
function expectCut(body: string, text: string | RegExp, mode: Mode, isOwn: boolean): void {
  const data = eventData(body);
  if (isOwn) {
    expect(JSON.parse(data.at(-1) ?? "null")).toHaveProperty("error");
    expect(body).not.toContain("stream_interrupted");
    expectText(streamedText(data.slice(0, -1)), text);
    return;
  }
  // Some clients look for it at the very beginning.
  expect(data.at(-1)).toMatch(/^\{"error":/);
  expect(data.filter((each) => each.includes('"stream_interrupted"'))).toHaveLength(1);
  expect(data).not.toContain("[DONE]");
  expect(JSON.parse(data.at(-1) ?? "null")).toMatchObject({
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta: {}, finish_reason: "error" }],
    error: { type: "upstream_error", code: "stream_interrupted", param: null },
  });
  const mayBreakOff = mode === "native" || body.length > KEPT_BYTES;
  const events = data.slice(0, -1).filter((each) => !mayBreakOff || isJson(each));
  expectText(streamedText(events), text);
}

function expectText(came: string, wanted: string | RegExp): void {
  if (typeof wanted === "string") expect(came).toBe(wanted);
  else expect(came).toMatch(wanted);
}

/** Clients stop reading there. */
const uptoDone = (body: string): string => body.replace(/(data: ?\[DONE\]\n\n).*/s, "$1");

function isJson(data: string): boolean {
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

function expectHeaders(own: Own, response: Response): void {
  const { expected } = own;
  const reason = reasonOf(own);
  const attempts = attemptsOf(own).map((each) =>
    expected.sees === "cut" ? each.replace(/;\w+;200$/, ";ok;200") : each,
  );
  const log = response.headers.get("x-flowlayer-attempt-log") ?? "";
  expect(log.replace(/;\d+ms/g, "").split(", ")).toEqual(attempts);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "x-flowlayer-attempts": String(attempts.length),
    "x-flowlayer-fallback": String(reason !== null),
  });
  expect(response.headers.get("x-flowlayer-fallback-reason")).toBe(reason);
}

/** What the ledger keeps of the request. */
async function expectRecord(own: Own, response: Response): Promise<void> {
  const { expected, route, provider, model, second } = own;
  const trace = await rig.trace(route, response);
  const winner = expected.sees === "second" ? { provider: "groq", model: second } : { provider, model };
  expect(trace).toMatchObject({
    ...(expected.sees === "refusal" ? { provider: null, model: null } : winner),
    status: expected.sees === "refusal" || expected.sees === "cut" ? "error" : "ok",
    http_status: expected.sees === "refusal" ? expected.status : 200,
    fallback: expected.sees === "second",
    tool_calls: (expected.sees === "answer" && expected.tools) || [],
  });
  expect(trace.error_code).toBe(
    expected.sees === "refusal" ? expected.code : expected.sees === "cut" ? "stream_interrupted" : undefined,
  );
  const attempts = trace.attempts.map((each) => `${each.provider}/${each.model};${each.outcome};${each.status ?? "-"}`);
  expect(attempts).toEqual(attemptsOf(own));
  expectUsage(own, trace);
  expectCost(own, trace);
  expect(JSON.stringify(trace)).not.toMatch(new RegExp(`${CANARY_SECRET}|${BODY_CANARY}`));
}

function expectUsage({ expected }: Own, { usage }: Trace): void {
  const { prompt_tokens, completion_tokens, source } = usage;
  if (expected.sees === "refusal") {
    expect(source).toBe(expected.isCounted ? "counted" : "none");
    return;
  }
  const tokens = expected.sees === "second" || expected.tokens === undefined ? [10, 5] : expected.tokens;
  expect(source).toBe(tokens === null ? "counted" : "upstream");
  if (tokens !== null) expect([prompt_tokens, completion_tokens]).toEqual(tokens);
  expect(Math.min(prompt_tokens, completion_tokens)).toBeGreaterThan(0);
}

/**
 * An answer costs, and so does a provider that was at work until one of our clocks rang. A failure of its own is free.
 */
function expectCost({ row, expected }: Own, trace: Trace): void {
  const isLate = expected.sees === "refusal" && expected.isCounted === true;
  const costs = trace.attempts.map(({ provider, model, winner }) => {
    if (!winner && row.clock === undefined && !isLate) return "free";
    return findModel(provider, model)?.price === undefined ? "unknown" : "known";
  });
  const kindOf = (cost: number | null): string => (cost === null ? "unknown" : cost === 0 ? "free" : "known");
  expect(trace.attempts.map(({ cost_usd }) => kindOf(cost_usd))).toEqual(costs);
  const whole = costs.includes("unknown") ? "unknown" : costs.includes("known") ? "known" : "free";
  expect(kindOf(trace.cost_usd)).toBe(whole);
  expect(trace.cost_usd ?? 0).toBeGreaterThanOrEqual(0);
}

const SECRETS = new RegExp(`${CANARY_SECRET}|${BODY_CANARY}`);

function expectNothingLeaked(response: Response, body: string): void {
  expect(JSON.stringify([...response.headers])).not.toMatch(SECRETS);
  // Not `toMatch` on the body: a stream of megabytes would be printed.
  expect(SECRETS.exec(body)?.[0]).toBeUndefined();
  expect(/<html|<title/i.exec(body)?.[0]).toBeUndefined();
}

/** A connection stays open only behind a complete answer, for the next request. */
async function expectClosed(own: Own): Promise<void> {
  const { row, server, scripts, calls } = own;
  const canStay = scripts.map(isComplete);
  const isOver = (call: FaultCall, index: number): boolean => {
    const script = Math.min(index + (row.warmUps ?? 0), canStay.length - 1);
    return call.closedBy !== null || (call.isPlayed && canStay[script] === true);
  };
  await until(() => calls().every(isOver), CLOSED_MS);
  const left = calls().filter((call, index) => !isOver(call, index));
  expect(left.map(({ head, bytesSent }) => ({ head, bytesSent }))).toEqual([]);
  for (const call of calls()) expect(call.bytesSent).toBeLessThan(row.maxBytes ?? 3 * 1024 * 1024);
  if (hasOwnPlace(row) && scripts[0]?.length === 0) {
    expect(await until(() => (server?.openSockets() ?? 0) === 0, CLOSED_MS)).toBe(true);
  }
}

function isComplete(script: FaultScript): boolean {
  const bytes: Uint8Array[] = [];
  for (const step of script) {
    if (step === "fin" || step === "reset") return false;
    if (typeof step === "string" || step instanceof Uint8Array) bytes.push(Buffer.from(step));
    else if ("endless" in step || "drip" in step) return false;
  }
  try {
    return parseResponse(Buffer.concat(bytes).toString("latin1"), false) !== null;
  } catch {
    return false;
  }
}

function aloneOf({ row, expected }: Own): Row["alone"] {
  if (expected.sees !== "second" || row.alone === null) return null;
  if (row.alone !== undefined) return row.alone;
  switch (expected.failed.at(-1)?.replace(/;.*/, "")) {
    case "rate_limited":
      return { status: 429, code: "upstream_rate_limited", isUnnamed: true };
    case "timeout":
      return { status: 504, code: "upstream_timeout" };
    default:
      return { status: 502, code: "upstream_failed" };
  }
}

/** The same with nobody else to ask. Gives the number of attempts it took. */
async function expectAlone(own: Own): Promise<number> {
  const { mode, row } = own;
  const wanted = aloneOf(own) ?? null;
  if (wanted === null || mode !== aloneMode(row)) return 0;
  const { response, body } = await ask(own, { route: { fallback: false } });
  const { status, retryAfter = status === 429 ? /^[1-9]\d?$/ : null } = wanted;
  expectErrorBody(response, body, wanted);
  expectNothingLeaked(response, body);
  if (typeof retryAfter === "string") expect(response.headers.get("retry-after")).toBe(retryAfter);
  else if (retryAfter !== null) expect(response.headers.get("retry-after")).toMatch(retryAfter);
  expect(own.secondCalls()).toBe(1);
  return Number(response.headers.get("x-flowlayer-attempts"));
}

/** What the first target's health has to have counted, when the answers were looked at. */
interface Counted {
  readonly target: string;
  readonly successes: number;
  readonly failures: number;
  readonly rateLimited: number;
  readonly cooldown: readonly [from: number, to: number];
}

/** A wish of seconds is told from one of half a minute, and that from the longest, whatever the case took. */
const COOLDOWN_SLACK_MS = 8_000;

/** Between which times the provider's wish to be left alone ends, epoch ms. */
function cooldownOf({ row, expected }: Own): readonly [from: number, to: number] {
  if (!(expected.failed ?? []).some((each) => each.startsWith("rate_limited"))) return [0, 0];
  const wishMs = 1_000 * Number(row.alone?.retryAfter ?? 1);
  const until = Date.now() + wishMs;
  return [wishMs > COOLDOWN_SLACK_MS ? until - COOLDOWN_SLACK_MS : 0, until + COOLDOWN_SLACK_MS];
}

function countedOf(own: Own, attemptsAlone: number): Counted {
  const { expected, row, provider, model } = own;
  const classes = (expected.failed ?? []).map((each) => each.replace(/;.*/, ""));
  // A stream that breaks takes back the success that its first token was.
  const winner = expected.sees === "answer" ? ["ok"] : expected.sees === "cut" ? [expected.outcome] : [];
  const alone = Array<string>(attemptsAlone).fill(classes.at(-1) ?? "");
  const warmUps = Array<string>(row.warmUps ?? 0).fill("ok");
  // Whose patience ended says nothing about a target.
  const isPatience = expected.sees === "refusal" && expected.code === "latency_budget_exceeded";
  const all = isPatience ? [] : [...warmUps, ...classes, ...winner, ...alone];
  const count = (wanted: string): number => all.filter((each) => COUNTED_AS[each] === wanted).length;
  return {
    target: `${provider}/${model}`,
    successes: count("success"),
    failures: count("failure"),
    rateLimited: count("rate limit"),
    cooldown: cooldownOf(own),
  };
}

/** The breaker's own count. It hears of a target once a second at most. */
async function expectCounted({ target, cooldown: [from, to], ...wanted }: Counted): Promise<void> {
  let seen = { successes: 0, failures: 0, rateLimited: 0 };
  // Looked up once: each look for an object or a method holds up this whole process until workerd has answered.
  const health = env.PROVIDER_HEALTH.getByName(target);
  const isNothing = Object.values(wanted).every((count) => count === 0);
  for (const giveUpAt = Date.now() + (isNothing ? 1_500 : 5_000); Date.now() < giveUpAt; ) {
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const snapshot = await health.snapshot();
    if (snapshot === null) continue;
    const { requests, failures, rateLimited } = snapshot;
    seen = { successes: requests - failures, failures, rateLimited };
    if (isNothing || JSON.stringify(seen) !== JSON.stringify(wanted)) continue;
    expect(snapshot.cooldownUntil).toBeGreaterThanOrEqual(from);
    expect(snapshot.cooldownUntil).toBeLessThanOrEqual(to);
    break;
  }
  expect({ target, ...seen }).toEqual({ target, ...wanted });
}

async function check({ row, mode, expected }: Case): Promise<Counted> {
  const own = await setUp(row, mode, expected);
  const { server, model } = own;
  if (row.platform !== undefined) await setFaults(rig.worker, { calls: { model, how: row.platform } });
  const connectionsBefore = server?.connections() ?? 0;
  const { response, body, isBroken } = await ask(own);
  const answeredAt = Date.now();
  expectClient(own, response, body, isBroken);
  expectHeaders(own, response);
  expectNothingLeaked(response, body);
  const failed = expected.failed?.length ?? 0;
  const asked = expected.calls ?? failed + (expected.sees === "answer" || expected.sees === "cut" ? 1 : 0);
  expect({ first: own.calls().length, second: own.secondCalls() }).toEqual({
    first: asked,
    second: expected.sees === "second" ? 1 : 0,
  });
  // Where nothing of HTTP came about, a connection is what an attempt costs.
  if (hasOwnPlace(row) && server !== undefined && asked === 0) {
    expect(server.connections() - connectionsBefore).toBe(failed);
    expect(server.calls).toHaveLength(0);
  }
  if (row.at === "one connection" && failed > 0) {
    const [warmUp, again, retry] = server?.callsTo(model).map(({ connection }) => connection) ?? [];
    expect({ isUsedAgain: again === warmUp, isFresh: retry !== again }).toEqual({ isUsedAgain: true, isFresh: true });
  }
  // One that floods is given up at once, not when the request is over.
  if (own.second === SLOW_MODEL && expected.sees === "second") {
    for (const { closedAt } of own.calls()) expect(closedAt).toBeLessThan(answeredAt - SLOW_MS / 3);
  }
  await expectRecord(own, response);
  await expectClosed(own);
  return countedOf(own, await expectAlone(own));
}

const turns = new Map<Place, Promise<unknown>>();

/** Its connections are counted, so no other row may use them meanwhile. */
const hasOwnPlace = ({ at = "scripted" }: Row): boolean => places.server(at) !== places.server("scripted");

function inTurn<Result>({ row }: Case, work: () => Promise<Result>): Promise<Result> {
  const place = row.at ?? "scripted";
  if (!hasOwnPlace(row)) return work();
  const mine = (turns.get(place) ?? Promise.resolve()).then(work);
  turns.set(
    place,
    mine.catch(() => {}),
  );
  return mine;
}

interface Case {
  readonly id: string;
  readonly row: Row;
  readonly mode: Mode;
  readonly expected: Expected;
}

function casesOf(row: Row): Case[] {
  const { id, expect: wanted, modes } = row;
  const byMode: Partial<Record<Mode, Expected>> =
    "sees" in wanted ? { whole: wanted, pump: wanted, native: wanted } : wanted;
  return (["whole", "pump", "native"] as const).flatMap((mode) => {
    const expected = byMode[mode];
    return expected === undefined || modes?.includes(mode) === false ? [] : [{ id, row, mode, expected }];
  });
}

/** Once per row is enough, and not in the mode with the longest clock. */
const aloneMode = (row: Row): Mode | undefined =>
  casesOf(row).find(({ mode, expected }) => expected.sees === "second" && !(row.clock && mode === "whole"))?.mode;

const CASES = FAULTS.flatMap(casesOf);
/** Megabytes as fast as they go: two at a time would be slow enough to be taken for a hang. */
const isHeavy = ({ row }: Case): boolean => row.maxBytes !== undefined;
/** Faults of the platform hold for the whole Worker. */
const isLight = (each: Case): boolean => !isHeavy(each) && each.row.platform === undefined;

const LIGHT = CASES.filter(isLight);
/** Most of a case is waiting. */
const AT_ONCE = 8;

const outcomes = new Map<Case, PromiseWithResolvers<void>>(LIGHT.map((each) => [each, Promise.withResolvers()]));

/** Plays the cases of `names`, so many at a time, from the first test on: each test looks at the end of its own. */
async function playAll(names: ReadonlySet<string>): Promise<void> {
  const left = [...outcomes].filter(([{ id, mode }]) => names.has(`${id} (${mode})`));
  const playNext = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [each, outcome] = next;
      // A rejection is that test's own to report.
      outcome.promise.catch(() => {});
      await inTurn(each, () => check(each)).then(
        // Its count is looked at while the next one plays.
        (counted) => outcome.resolve(expectCounted(counted)),
        outcome.reject,
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, playNext));
}

describe("faults of a provider", () => {
  let all: Promise<void>;
  // biome-ignore lint/correctness/noEmptyPattern: Vitest wants a pattern here, and nothing of it is needed.
  beforeAll(({}, { tasks }) => {
    all = playAll(new Set(tasks.filter(({ mode }) => mode === "run").map(({ name }) => name)));
  });
  afterAll(() => all);
  test.each(LIGHT)("$id ($mode)", (each) => outcomes.get(each)?.promise);
});

describe("floods", () => {
  test.each(CASES.filter(isHeavy))("$id ($mode)", async (each) => {
    await check(each);
  });
});

describe("faults of the platform", () => {
  test.each(CASES.filter(({ row }) => row.platform !== undefined))("$id ($mode)", async (each) => {
    await check(each).finally(() => setFaults(rig.worker));
  });
});

describe("what a target's health learns", () => {
  const ENOUGH: Readonly<Record<string, number>> = { failure: 3, "rate limit": 1 };
  const COUNTS = CLASSES.map((each) => ({
    ...each,
    kind: each.body === undefined ? "at once" : "in mid-stream",
    as: COUNTED_AS[each.name],
  }));

  test.each(COUNTS)("$name, $kind, counts as: $as", async ({ body = {}, play, as }) => {
    const route = await rig.route({ policy: { retry: { same_target: 0 } } });
    const scripted = places.server("scripted");
    scripted?.script(route.models[0] ?? "", play);
    const asked = async (): Promise<{ calls: number; reason: string | null }> => {
      const response = await rig.ask(route, body);
      await readStream(response);
      const calls = scripted?.callsTo(route.models[0] ?? "").length ?? 0;
      return { calls, reason: response.headers.get("x-flowlayer-fallback-reason") };
    };
    const enough = ENOUGH[as ?? ""] ?? 4;
    for (let calls = 1; calls <= enough; calls++) expect((await asked()).calls).toBe(calls);
    const next = await asked();
    if (as === "nothing") expect(next.calls).toBe(enough + 1);
    else expect(next).toEqual({ calls: enough, reason: as === "failure" ? "breaker_open" : "rate_limited" });
  });
});

describe("the catalogue", () => {
  const ids = [
    ...Array.from({ length: 64 }, (_, index) => `F${index + 1}`),
    ...Array.from({ length: 25 }, (_, index) => `P${index + 1}`),
  ];

  test("each fault is run, covered elsewhere or left out with a reason, and only one of these", () => {
    const run = new Set(FAULTS.map(({ id }) => id.split(" ")[0] ?? ""));
    const listed = [...run, ...Object.keys(ELSEWHERE), ...Object.keys(NOT_SHOWN)];
    expect(listed.toSorted()).toEqual(ids.toSorted());
  });

  test("no two rows have the same name", () => {
    expect(FAULTS.map(({ id }) => id).filter((id, index, all) => all.indexOf(id) !== index)).toEqual([]);
  });

  const covered = Object.entries(ELSEWHERE).map(([id, [file, words]]) => ({ id, file, words }));
  test.each(covered)("$id is covered by $file", ({ file, words }) => {
    expect(readFileSync(new URL(`../${file}`, import.meta.url).pathname, "utf8")).toContain(words);
  });
});

test("no redirect was followed, and nothing broke inside the Worker", () => {
  expect(canary.connections()).toBe(0);
  const logs = rig.worker.logs();
  expect(logs).not.toMatch(/unexpected_error|uncaught|unhandled/i);
  expect(SECRETS.exec(logs)?.[0]).toBeUndefined();
  expect(wordsOnRequests(logs)).toEqual([]);
});
