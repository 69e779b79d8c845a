/**
 * `POST /v1/chat/completions`, top to bottom. Read this first: each line of `complete` is a stage, in the contract's order
 * of checks, and a stage knows no other.
 */
import type { Context } from "hono";
import { toolResultIds } from "../approvals/withhold.ts";
import type { AppEnv, Env } from "../env.ts";
import { errorResponse, invalidKey, RouterError } from "../errors.ts";
import { unexpectedFault } from "../fault.ts";
import { type HealthContext, latencyForecast, mayExplore, targetState, warmUp } from "../health/client.ts";
import { verifyToken } from "../keys/store.ts";
import { Deadlines } from "../lib/deadline.ts";
import { type ChatRequest, parseChatRequest } from "../openai.ts";
import { findProvider } from "../providers/index.ts";
import { isExporting } from "../traces/exporter.ts";
import { parseTraceparent } from "../traces/otlp.ts";
import { Admission } from "./admit.ts";
import { Attempts, ClientGone } from "./attempt.ts";
import { bearerToken, identify, requireScope } from "./authenticate.ts";
import { type Bill, billFor, noteBill, toStreamResponse, toWholeResponse } from "./deliver.ts";
import { plan, stableDraw } from "./plan.ts";
import { checkHead, readBody } from "./read.ts";
import { resolve } from "./resolve.ts";
import { Settlement } from "./settle.ts";
import type { Answer, AnswerEnd, Caller, Candidate, EventSource, Plan, ResolvedRoute, StreamWish } from "./stages.ts";
import { openStream } from "./stream.ts";
import { type Attempt, Exchange, NO_USAGE } from "./trace.ts";
import { openWhole } from "./whole.ts";

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
  /** Of the last call that the router ended unanswered. */
  promptBill: Bill | null;
  /** Characters of the request body, once it was read. */
  bodyLength: number;
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
    ...{ attempts: null, answer: null, bill: null, promptBill: null, bodyLength: 0 },
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
      ...promptUsage(run),
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
  run.bodyLength = request.text.length;
  const readAt = Date.now();
  const route = await resolve(request, caller, { kv: env.CONFIG, now: readAt, waitUntil });
  requireScope(caller.key, "chat");
  noteRoute(exchange, route, request);
  exchange.timings.policy = Date.now() - readAt;
  refuseUnapprovedResults(route, request);
  const chosen = planFor(run, route, request, caller);
  const plannedAt = Date.now();
  run.attempts = new Attempts({
    plan: chosen,
    route,
    request,
    exchange,
    clientSignal: http.signal,
    deadlines: run.deadlines,
    health: run.health,
    admission: new Admission({ ledgers: env.KEY_LEDGER, key: caller.key, route, request, exchange, waitUntil }),
    onAbandoned: (candidate, attempt) => billPrompt(run, candidate, attempt),
    openStream: (response, control, reading) => openStream(response, streamWish(run, route, request), control, reading),
    openWhole,
  });
  run.answer = await run.attempts.answer();
  exchange.timings.upstream = Date.now() - plannedAt;
  return deliver(run, run.answer, route);
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

/** No call has been released for approval yet, so a gated route can hold no result of an approved one. */
function refuseUnapprovedResults(route: ResolvedRoute, request: ChatRequest): void {
  if (request.controls.resume !== undefined) {
    throw new RouterError("unknown_trace", "No held step belongs to this trace id.", { param: "route.resume" });
  }
  if (!route.requireToolApproval) return;
  const ids = toolResultIds(request.fields["messages"]);
  if (ids.length === 0) return;
  const message =
    "This route requires tool approval, and the request carries results of tool calls it did not approve.";
  throw new RouterError("tool_approval_required", message, { param: "messages", details: { tool_calls: ids } });
}

function planFor(run: Run, route: ResolvedRoute, request: ChatRequest, caller: Caller): Plan {
  const now = Date.now();
  const session = caller.sessionId ?? request.fields["prompt_cache_key"];
  return plan({
    route,
    fields: request.fields,
    bodyLength: run.bodyLength,
    secrets: run.env as unknown as Readonly<Record<string, unknown>>,
    findProvider,
    stateOf: ({ name }) => targetState(run.health, name, now),
    forecastOf: ({ name }) => latencyForecast(name, request.stream ? "firstToken" : "total", now),
    mayExplore: ({ name }) => mayExplore(name, now),
    draw: ({ name }) => (typeof session === "string" ? stableDraw(session, name) : Math.random()),
  });
}

function streamWish(run: Run, route: ResolvedRoute, request: ChatRequest): StreamWish {
  const { tools, functions, n } = request.fields;
  const choices = typeof n === "number" ? n : 1;
  const mayResume = route.policy.stream_recovery === "resume" && choices === 1;
  return {
    includeUsage: request.includeUsage,
    withholdTools: route.requireToolApproval,
    hasTools: tools !== undefined || functions !== undefined,
    choices,
    traceId: run.exchange.traceId,
    idleMs: route.policy.timeouts.idle_ms,
    resume: mayResume ? (broken) => resume(run, broken) : null,
  };
}

function deliver(run: Run, answer: Answer, route: ResolvedRoute): Response {
  const { exchange, settlement, bodyLength } = run;
  if (answer.kind === "stream") {
    const { readable, end } = answer.stream.start();
    run.waitUntil(end.then((ended) => settleStream(run, ended)));
    return toStreamResponse(exchange, readable);
  }
  run.deadlines.stop();
  const delivery = toWholeResponse(exchange, answer, bodyLength, route.requireToolApproval);
  settlement.settle({
    ...delivery.bill,
    status: "ok",
    httpStatus: 200,
    toolCalls: delivery.toolCalls,
    endedAt: Date.now(),
  });
  return delivery.response;
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
  const bill = billFor(candidate, ended.rawUsage, run.bodyLength, ended.contentEvents, record.startedAt);
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
    ...promptUsage(run),
    status: "cancelled",
    httpStatus: 499,
    toolCalls: [],
    endedAt: Date.now(),
  });
  return new Response(null, { status: 499 });
}

/** What the router ended unanswered costs its prompt: the vendor has seen it. */
function billPrompt(run: Run, candidate: Candidate, attempt: Attempt): void {
  run.promptBill = billFor(candidate, undefined, run.bodyLength, 0, attempt.startedAt);
  noteBill(attempt, run.promptBill);
}

/** Of a request without an answer. */
function promptUsage({ promptBill }: Run): Pick<Bill, "usage" | "usageSource"> {
  return promptBill ?? { usage: NO_USAGE, usageSource: "none" };
}
