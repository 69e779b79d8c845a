/**
 * `POST /v1/chat/completions`, top to bottom. Read this first: each line of `complete` is a stage, in the contract's order
 * of checks, and a stage knows no other.
 */
import type { Context } from "hono";
import type { AppEnv, Env } from "../config.ts";
import { type HealthContext, latencyForecast, mayExplore, targetState, warmUp } from "../health/client.ts";
import { checkHead, readBody } from "../http/body.ts";
import { errorResponse, invalidKey, RouterError } from "../http/errors.ts";
import { unexpectedFault } from "../http/internal-error.ts";
import { verifyToken } from "../keys/store.ts";
import { Deadlines } from "../lib/deadline.ts";
import type { Provider } from "../providers/adapter.ts";
import { isExporting } from "../traces/exporter.ts";
import { parseTraceparent } from "../traces/otlp.ts";
import { readContentDemand } from "../wires/openai-chat/read-demand.ts";
import { type ChatRequest, parseChatRequest } from "../wires/openai-chat/request-fields.ts";
import { Admission } from "./admission.ts";
import { ToolApproval } from "./approval/approval.ts";
import { releasedBody, releasedStream, toolsOf } from "./approval/resume.ts";
import { Attempts, ClientGone } from "./attempts/attempts.ts";
import { openWhole } from "./attempts/non-streaming.ts";
import { bearerToken, identify, requireScope } from "./authenticate.ts";
import {
  type Bill,
  billFor,
  billWhole,
  CHARACTERS_PER_TOKEN,
  noteBill,
  toJsonResponse,
  toStreamResponse,
  toWholeResponse,
  type WholeUpstream,
} from "./deliver.ts";
import { providersOf } from "./operator-providers.ts";
import { plan, stableDraw } from "./plan.ts";
import { resolve } from "./resolve.ts";
import { Settlement } from "./settle.ts";
import { openStream } from "./streaming/stream.ts";
import { type Attempt, Exchange, NO_USAGE } from "./trace.ts";
import type { Answer, AnswerEnd, Caller, Candidate, EventSource, Plan, ResolvedRoute, StreamOptions } from "./types.ts";

/** Of what keeps a session with its target: it is hashed once per target. */
const MAX_SESSION_LENGTH = 256;

type WaitUntil = (work: Promise<unknown>) => void;

interface Run {
  readonly http: Request;
  readonly env: Env;
  readonly waitUntil: WaitUntil;
  readonly exchange: Exchange;
  readonly settlement: Settlement;
  readonly deadlines: Deadlines;
  readonly health: HealthContext;
  /** `null` until targets are asked. */
  attempts: Attempts | null;
  /** The answer that is being delivered; a resumed stream has several, one after another. `null`: its end is booked. */
  answer: Answer | null;
  /** Of the stream that the client has the last of. */
  bill: Bill | null;
  /** Of the last call whose answer the client does not get. */
  abandonedBill: Bill | null;
  /** Characters of the request body without its base64, once it was read. */
  textLength: number;
}

export function handleChatCompletion(context: Context<AppEnv>): Promise<Response> {
  const waitUntil: WaitUntil = (work) => context.executionCtx.waitUntil(work);
  const exchange = new Exchange(context.get("traceId"), context.get("receivedAt"));
  const { env } = context;
  const settlement = new Settlement(exchange, env, waitUntil);
  const deadlines = new Deadlines();
  const health: HealthContext = { namespace: env.PROVIDER_HEALTH, kv: env.CONFIG, waitUntil };
  const run: Run = {
    ...{ http: context.req.raw, env, waitUntil, exchange, settlement, deadlines, health },
    ...{ attempts: null, answer: null, bill: null, abandonedBill: null, textLength: 0 },
  };
  const answer = answerOrError(run);
  // A client that leaves before the response head would otherwise end this handler at its next await: no catch, no
  // finally, nothing settled.
  waitUntil(answer);
  return answer;
}

async function answerOrError(run: Run): Promise<Response> {
  const { exchange, settlement } = run;
  try {
    return await complete(run);
  } catch (error) {
    run.deadlines.stop();
    if (error instanceof ClientGone) return clientGone(run);
    const known = error instanceof RouterError ? error : unexpectedFault(error, exchange.traceId);
    const now = Date.now();
    settlement.settle({
      ...abandonedUsage(run),
      toolCalls: [],
      status: known.status === 402 || known.status === 403 ? "denied" : "error",
      httpStatus: known.status,
      errorCode: known.code,
      endedAt: now,
    });
    return errorResponse(known, exchange.toErrorFlow(), exchange.toHeaders(now));
  }
}

async function complete(run: Run): Promise<Response> {
  const { http, env, waitUntil, exchange } = run;
  const { receivedAt } = exchange;
  const token = await verifyToken(bearerToken(http.headers), env.FLOW_KEY_PEPPER ?? "");
  if (token === null) throw invalidKey();
  checkHead(http.headers);
  warmUp(run.health, receivedAt);
  const caller = await identify(token, http.headers, env.CONFIG, receivedAt, waitUntil);
  noteCaller(run, caller);
  const request = parseChatRequest(await readBody(http, receivedAt, run.deadlines));
  const content = readContentDemand(request.fields["messages"]);
  run.textLength = request.text.length - content.base64Length;
  const readAt = Date.now();
  const route = await resolve(request, caller, { kv: env.CONFIG, now: readAt, waitUntil });
  requireScope(caller.key, "chat");
  noteRoute(exchange, route, request);
  exchange.timings.policy = Date.now() - readAt;
  const approval = new ToolApproval({
    ...{ records: env.TOOL_APPROVALS, caller, route, request, exchange, clientSignal: http.signal },
    onUpstreamEnd: (end) => closeStream(run, end),
  });
  await approval.admit();
  const { resume: heldTrace } = request.controls;
  if (heldTrace !== undefined) {
    const endsAt = receivedAt + route.policy.timeouts.total_ms;
    return resumeStep(run, approval, request, { traceId: heldTrace, endsAt });
  }
  const findProvider = await providersOf(route.policy.targets, { kv: env.CONFIG, now: readAt, waitUntil });
  const chosen = planFor(run, route, request, caller, findProvider);
  const plannedAt = Date.now();
  run.attempts = new Attempts({
    plan: chosen,
    route,
    request,
    exchange,
    clientSignal: http.signal,
    deadlines: run.deadlines,
    health: run.health,
    admission: new Admission({
      ledgers: env.KEY_LEDGER,
      key: caller.key,
      route,
      request,
      content,
      exchange,
      waitUntil,
    }),
    onAbandoned: (candidate, attempt, answerLength) => billAbandoned(run, candidate, attempt, answerLength),
    onUnadmitted: (candidate, attempt, unused) => noteUnadmitted(run, candidate, attempt, unused),
    openStream: (response, control, reading) =>
      openStream(response, streamOptions(run, route, request, approval), control, reading),
    openWhole,
  });
  run.answer = await run.attempts.answer();
  exchange.timings.upstream = Date.now() - plannedAt;
  return deliver(run, run.answer, approval);
}

function noteCaller({ exchange, http, env }: Run, caller: Caller): void {
  if (isExporting(env)) exchange.parent = parseTraceparent(http.headers.get("traceparent"));
  exchange.keyId = caller.key.id;
  exchange.env = caller.key.env;
  exchange.app = caller.app;
  exchange.clientRequestId = caller.clientRequestId;
  exchange.timings.auth = Date.now() - exchange.receivedAt;
}

function noteRoute(exchange: Exchange, route: ResolvedRoute, request: ChatRequest): void {
  exchange.route = route.record.name;
  exchange.routeVersion = route.record.version;
  exchange.stream = request.stream;
  exchange.latencyBudgetMs = route.latencyBudgetMs;
  exchange.tags = request.controls.tags ?? {};
  if (route.requireToolApproval) exchange.toolApproval = "required";
}

function planFor(
  run: Run,
  route: ResolvedRoute,
  request: ChatRequest,
  caller: Caller,
  findProvider: (id: string) => Provider | undefined,
): Plan {
  const now = Date.now();
  const { prompt_cache_key: cacheKey } = request.fields;
  const session =
    caller.sessionId ?? (typeof cacheKey === "string" ? cacheKey.slice(0, MAX_SESSION_LENGTH) : undefined);
  return plan({
    route,
    fields: request.fields,
    textLength: run.textLength,
    secrets: run.env as unknown as Readonly<Record<string, unknown>>,
    findProvider,
    stateOf: ({ name }) => targetState(run.health, name, now),
    forecastOf: ({ name }) => latencyForecast(name, request.stream ? "firstToken" : "total", now),
    mayExplore: ({ name }) => mayExplore(name, now),
    draw: ({ name }) => (session === undefined ? Math.random() : stableDraw(session, name)),
  });
}

function streamOptions(run: Run, route: ResolvedRoute, request: ChatRequest, approval: ToolApproval): StreamOptions {
  const { tools, functions, n } = request.fields;
  // Where the client leaves it open, a target's own parameters may ask for several.
  const asked = n === undefined ? route.policy.targets.map(({ params }) => params["n"]) : [n];
  const choices = Math.max(1, ...asked.filter((each) => typeof each === "number"));
  const mayResume = route.policy.stream_recovery === "resume" && choices === 1;
  return {
    includeUsage: request.includeUsage,
    gate: route.requireToolApproval ? approval : null,
    hasTools: tools !== undefined || functions !== undefined,
    choices,
    traceId: run.exchange.traceId,
    idleMs: route.policy.timeouts.idle_ms,
    deadlines: run.deadlines,
    resume: mayResume ? (broken) => resume(run, broken) : null,
  };
}

async function deliver(run: Run, answer: Answer, approval: ToolApproval): Promise<Response> {
  if (answer.kind === "whole") return deliverWhole(run, answer, approval);
  if (run.http.signal.aborted) throw unread(run, answer);
  const { readable, end } = answer.stream.start();
  run.waitUntil(end.then((ended) => settleStream(run, ended)));
  return toStreamResponse(run.exchange, readable);
}

/** Of a response that is never sent nobody says that it is not read: the first write would wait until `total_ms`. */
function unread(run: Run, { candidate, attempt }: Answer): ClientGone {
  attempt.outcome = "cancelled";
  billAbandoned(run, candidate, attempt, 0);
  return new ClientGone();
}

async function deliverWhole(run: Run, answer: WholeUpstream, approval: ToolApproval): Promise<Response> {
  const { exchange, settlement } = run;
  run.deadlines.stop();
  exchange.answeredAt = Date.now();
  const { bill, toolCalls } = billWhole(answer, run.textLength);
  noteBill(answer.attempt, bill);
  // Whatever keeps it from the client now, the vendor bills it.
  run.abandonedBill = bill;
  if (run.http.signal.aborted) throw new ClientGone();
  const release = await approval.releaseOf(answer.whole);
  if (release === "client_gone") throw new ClientGone();
  const response = toWholeResponse(exchange, answer, bill, release);
  settlement.settle({ ...bill, status: "ok", httpStatus: 200, toolCalls, endedAt: Date.now() });
  return response;
}

interface HeldStep {
  /** Of the request that it answered. */
  readonly traceId: string;
  /** When the time of this request is over, epoch ms. */
  readonly endsAt: number;
}

/** The same step once more: it is answered from the record, and no provider is called. */
async function resumeStep(run: Run, approval: ToolApproval, request: ChatRequest, held: HeldStep): Promise<Response> {
  const { exchange, settlement } = run;
  const { traceId, endsAt } = held;
  const step = await approval.heldStep(traceId);
  // As for an answer that comes now: a stream that is never sent would wait until `total_ms` to be read.
  if (run.http.signal.aborted) throw new ClientGone();
  const ending = { usage: NO_USAGE, usageSource: "none", httpStatus: 200, toolCalls: toolsOf(step) } as const;
  if (request.stream) {
    const options = { includeUsage: request.includeUsage, deadlines: run.deadlines };
    const { readable, end } = releasedStream(approval, step, traceId, { ...options, endsAt });
    const settle = (how: Awaited<typeof end>): void => {
      run.deadlines.stop();
      const status = how === "complete" ? "ok" : how === "cancelled" ? "cancelled" : "error";
      const errorCode = status === "error" ? { errorCode: "stream_interrupted" } : {};
      settlement.settle({ ...ending, ...errorCode, status, endedAt: Date.now() });
    };
    run.waitUntil(end.then(settle));
    return toStreamResponse(exchange, readable);
  }
  const release = await approval.releaseStep(traceId, step.ruling, null);
  if (release === "client_gone") throw new ClientGone();
  const now = Date.now();
  const flow = exchange.toFlow(now, exchange.costNanoUsd);
  settlement.settle({ ...ending, status: "ok", endedAt: now });
  return toJsonResponse(exchange, releasedBody(step, release, flow), now);
}

/** Closes the books on the stream that is being delivered. Of several ends that are noticed, the first counts. */
function closeStream(run: Run, ended: AnswerEnd): void {
  const { answer, exchange } = run;
  if (answer?.kind !== "stream") return;
  run.answer = null;
  const { attempt: record, candidate } = answer;
  answer.release();
  record.endedAt = Date.now();
  if (ended.outcome === "cancelled") record.outcome = "cancelled";
  if (ended.failure !== null && !ended.differs) answer.noteBreak(ended.failure);
  if (ended.differs) record.outcome = "invalid_response";
  const bill = billFor(candidate, ended.rawUsage, run.textLength, ended.contentEvents, record.startedAt);
  noteBill(record, bill);
  if (ended.hasReachedClient) {
    run.bill = bill;
    for (const each of exchange.attempts) each.winner = each === record;
  } else record.winner = false;
}

/** The stream broke: the next target's, which has to say again what the client already has. Never rejects. */
async function resume(run: Run, broken: AnswerEnd): Promise<EventSource | null> {
  // At once: health learns of the break, and the attempt does not last as long as the next one.
  closeStream(run, broken);
  let next: Answer | null = null;
  try {
    next = (await run.attempts?.resume()) ?? null;
  } catch (error) {
    unexpectedFault(error, run.exchange.traceId);
  }
  if (next?.kind !== "stream") return null;
  run.answer = next;
  return next.stream.source;
}

function settleStream(run: Run, ended: AnswerEnd): void {
  closeStream(run, ended);
  run.deadlines.stop();
  if (run.bill === null) return;
  run.settlement.settle({
    ...run.bill,
    status: ended.outcome === "complete" ? "ok" : ended.outcome === "cancelled" ? "cancelled" : "error",
    httpStatus: 200,
    ...(ended.outcome === "interrupted" ? { errorCode: "stream_interrupted" } : {}),
    toolCalls: ended.toolCalls,
    endedAt: Date.now(),
  });
}

/** Nobody reads this response. The trace keeps it: the vendors have seen the prompt and may bill it. */
function clientGone(run: Run): Response {
  run.settlement.settle({
    ...abandonedUsage(run),
    status: "cancelled",
    httpStatus: 499,
    toolCalls: [],
    endedAt: Date.now(),
  });
  return new Response(null, { status: 499 });
}

/** What the router ended costs what is known of it: the prompt, which the vendor has seen, and what had come. */
function billAbandoned(run: Run, candidate: Candidate, attempt: Attempt, answerLength: number): void {
  const tokens = Math.ceil(answerLength / CHARACTERS_PER_TOKEN);
  run.abandonedBill = billFor(candidate, undefined, run.textLength, tokens, attempt.startedAt);
  noteBill(attempt, run.abandonedBill);
}

/**
 * What a vendor may bill for a call that was ended because the key was refused: its own figures where it sent them, else
 * the most that the call can cost. Without a bound the prompt is all that is known.
 */
function noteUnadmitted(run: Run, candidate: Candidate, attempt: Attempt, answer: Answer | null): void {
  const { costNanoUsd, usageSource } =
    answer?.kind === "whole"
      ? billWhole(answer, run.textLength).bill
      : billFor(candidate, undefined, run.textLength, 0, attempt.startedAt);
  const isExact = usageSource === "upstream" && costNanoUsd !== null;
  run.exchange.unadmittedNanoUsd += isExact ? costNanoUsd : Math.max(attempt.boundNanoUsd, costNanoUsd ?? 0);
}

/** Of a request without an answer. */
function abandonedUsage({ abandonedBill }: Run): Pick<Bill, "usage" | "usageSource"> {
  return abandonedBill ?? { usage: NO_USAGE, usageSource: "none" };
}
