/**
 * `POST /v1/chat/completions`, top to bottom. Read this first: each line of `complete` is a stage, in the contract's order
 * of checks, and a stage knows no other.
 */
import type { Context } from "hono";
import { toolResultIds } from "../approvals/withhold.ts";
import type { AppEnv, Env } from "../env.ts";
import { errorResponse, invalidKey, RouterError } from "../errors.ts";
import { unexpectedFault } from "../fault.ts";
import { reportOutcome, targetState } from "../health/client.ts";
import { verifyToken } from "../keys/store.ts";
import { Deadlines } from "../lib/deadline.ts";
import { type ChatRequest, parseChatRequest } from "../openai.ts";
import type { UpstreamFailure } from "../providers/adapter.ts";
import { findProvider } from "../providers/index.ts";
import { isExporting } from "../traces/exporter.ts";
import { parseTraceparent } from "../traces/otlp.ts";
import { admit } from "./admit.ts";
import { attempt, ClientGone } from "./attempt.ts";
import { bearerToken, identify, requireScope } from "./authenticate.ts";
import { billFor, toStreamResponse, toWholeResponse } from "./deliver.ts";
import { plan } from "./plan.ts";
import { checkHead, readBody } from "./read.ts";
import { resolve } from "./resolve.ts";
import { Settlement } from "./settle.ts";
import type { Answer, Caller, Candidate, Plan, ResolvedRoute } from "./stages.ts";
import { openStream } from "./stream.ts";
import { type Attempt, type Ending, Exchange } from "./trace.ts";
import { openWhole } from "./whole.ts";

type WaitUntil = (work: Promise<unknown>) => void;

interface Run {
  readonly http: Request;
  readonly env: Env;
  readonly waitUntil: WaitUntil;
  readonly exchange: Exchange;
  readonly settlement: Settlement;
  readonly deadlines: Deadlines;
  /** Characters of the request body, once it was read. */
  bodyLength: number;
}

export function handleChatCompletion(context: Context<AppEnv>): Promise<Response> {
  const waitUntil: WaitUntil = (work) => context.executionCtx.waitUntil(work);
  const exchange = new Exchange(context.get("traceId"), context.get("receivedAt"));
  const { env } = context;
  const settlement = new Settlement(exchange, env, waitUntil);
  const deadlines = new Deadlines();
  const run: Run = { http: context.req.raw, env, waitUntil, exchange, settlement, deadlines, bodyLength: 0 };
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
    if (error instanceof ClientGone) return clientGone(run, error.candidate);
    const known = error instanceof RouterError ? error : unexpectedFault(error, exchange.traceId);
    const now = Date.now();
    settlement.settle({
      ...NOTHING_USED,
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
  exchange.budgetRemainingNanoUsd = await admit(env.KEY_LEDGER, caller.key, plannedAt);
  const admittedAt = Date.now();
  exchange.timings.admission = admittedAt - plannedAt;
  const answer = await attempt({
    plan: chosen,
    route,
    request,
    exchange,
    clientSignal: http.signal,
    deadlines: run.deadlines,
    openStream: (response, control, reading) =>
      openStream(response, streamWish(exchange, route, request), control, reading),
    openWhole,
    report: (candidate, record, failure) => reportHealth(run, candidate, record, failure),
  });
  exchange.timings.upstream = Date.now() - admittedAt;
  return deliver(run, answer, route);
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
    stateOf: ({ provider, model }) => targetState(`${provider}/${model}`, now),
    draw: ({ provider, model }) =>
      typeof session === "string" ? stableDraw(`${session}\n${provider}/${model}`) : Math.random(),
  });
}

/** FNV-1a to [0, 1): the same session draws the same order as long as its target is healthy. */
function stableDraw(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0) / 0x1_0000_0000;
}

function streamWish(exchange: Exchange, route: ResolvedRoute, request: ChatRequest) {
  const { tools, functions, n } = request.fields;
  return {
    includeUsage: request.includeUsage,
    withholdTools: route.requireToolApproval,
    hasTools: tools !== undefined || functions !== undefined,
    choices: typeof n === "number" ? n : 1,
    traceId: exchange.traceId,
    idleMs: route.policy.timeouts.idle_ms,
  };
}

/** Failures that say nothing about the target: the request was at fault. */
const CLIENT_FAULTS: ReadonlySet<string> = new Set(["invalid_request", "context_length", "content_filter"]);

function reportHealth(run: Run, candidate: Candidate, record: Attempt, failure: UpstreamFailure | null): void {
  const outcome =
    failure === null
      ? "success"
      : failure.class === "rate_limited"
        ? "rate_limited"
        : CLIENT_FAULTS.has(failure.class)
          ? "ignored"
          : "failure";
  const target = `${candidate.target.provider}/${candidate.target.model}`;
  const durationMs = (record.firstTokenAt ?? record.endedAt) - record.startedAt;
  const { endedAt } = record;
  const { PROVIDER_HEALTH } = run.env;
  reportOutcome(PROVIDER_HEALTH, target, outcome, durationMs, endedAt, run.waitUntil, failure?.retryAfterMs);
}

function deliver(run: Run, answer: Answer, route: ResolvedRoute): Response {
  const { exchange, settlement } = run;
  const { candidate, attempt: record } = answer;
  if (answer.kind === "whole") {
    run.deadlines.stop();
    const delivery = toWholeResponse(exchange, candidate, answer.whole, run.bodyLength, route.requireToolApproval);
    record.costNanoUsd = delivery.bill.costNanoUsd;
    settlement.settle({
      ...delivery.bill,
      status: "ok",
      httpStatus: 200,
      toolCalls: delivery.toolCalls,
      endedAt: Date.now(),
    });
    return delivery.response;
  }
  const { readable, end } = answer.stream.start();
  run.waitUntil(
    end.then((ended) => {
      answer.release();
      run.deadlines.stop();
      record.endedAt = Date.now();
      if (ended.outcome === "cancelled") record.outcome = "cancelled";
      if (ended.failure !== null) {
        record.outcome = ended.failure;
        reportHealth(run, candidate, record, { class: ended.failure, tryNext: false, trySame: false });
      }
      const bill = billFor(candidate, ended.rawUsage, run.bodyLength, ended.contentEvents);
      record.costNanoUsd = bill.costNanoUsd;
      settlement.settle({
        ...bill,
        status: ended.outcome === "complete" ? "ok" : ended.outcome === "cancelled" ? "cancelled" : "error",
        httpStatus: 200,
        ...(ended.outcome === "interrupted" ? { errorCode: "stream_interrupted" } : {}),
        toolCalls: ended.toolCalls,
        endedAt: record.endedAt,
      });
    }),
  );
  return toStreamResponse(exchange, readable);
}

const NOTHING_USED: Pick<Ending, "usage" | "usageSource" | "costNanoUsd" | "toolCalls"> = {
  usage: null,
  usageSource: "none",
  costNanoUsd: 0,
  toolCalls: [],
};

/** Nobody reads this response. The trace keeps it: the vendor has seen the prompt and may bill it. */
function clientGone(run: Run, candidate: Candidate): Response {
  const bill = billFor(candidate, undefined, run.bodyLength, 0);
  const record = run.exchange.attempts.at(-1);
  if (record !== undefined) record.costNanoUsd = bill.costNanoUsd;
  run.settlement.settle({ ...bill, status: "cancelled", httpStatus: 499, toolCalls: [], endedAt: Date.now() });
  return new Response(null, { status: 499 });
}
