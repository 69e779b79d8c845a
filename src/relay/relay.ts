/**
 * One conversation's request, top to bottom, by whichever door it came. Read this first, with `request/run.ts`: each line of
 * `complete` is a stage, in the contract's order of checks, and a stage knows no other.
 */
import type { Context } from "hono";
import { type AppEnv, secretsOf } from "../config.ts";
import type { Json } from "../conversation/part.ts";
import { latencyForecast, mayExplore, targetState } from "../health/client.ts";
import { stableDraw } from "../lib/stable-draw.ts";
import { isDisabled } from "../policy/disabled.ts";
import { promptTokens } from "../pricing/count.ts";
import type { Provider } from "../providers/adapter.ts";
import { foreignConversation } from "../wires/asked.ts";
import { readContentDemand } from "../wires/openai-chat/read-demand.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import { Admission } from "./admission/admission.ts";
import { ToolApproval } from "./approval/approval.ts";
import { releasedBody, releasedStream, toolsOf } from "./approval/resume.ts";
import type { ConversationInput } from "./attempts/attempt.ts";
import { Attempts, ClientGone } from "./attempts/attempts.ts";
import { conversationOf, costForecast } from "./conversation.ts";
import {
  countedUsage,
  reportOf,
  toJsonResponse,
  toolsCalled,
  toStreamResponse,
  toWholeResponse,
  type WholeUpstream,
} from "./deliver.ts";
import type { Door } from "./door.ts";
import { providersOf } from "./operator-providers.ts";
import { plan } from "./plan.ts";
import { explainStep, wantsExplanation } from "./request/explained.ts";
import { type AnyRun, begin, handle, lazy } from "./request/run.ts";
import { toldOf } from "./request/told.ts";
import type { Answer, AnswerEnd, LastWords, Plan, ResolvedRoute, StreamOptions } from "./types.ts";

/** A request of a conversation. */
type Run = AnyRun<Door>;

/** Handles one request that came in by `door`. Never rejects. */
export function relay(context: Context<AppEnv>, door: Door): Promise<Response> {
  return handle(context, door, complete);
}

async function complete(run: Run): Promise<Response> {
  const { door, http, env, waitUntil, exchange } = run;
  const { receivedAt } = exchange;
  const { asked, caller, route, readAt, body } = await begin(run);
  if (wantsExplanation(http.headers)) return explainStep(run, { request: asked, caller, route, wire: door.wire });
  const content = readContentDemand(asked.fields["messages"]);
  exchange.promptTokens = lazy(() => promptTokens(asked.text, content.base64Length));
  exchange.conversation = conversationOf(exchange, route, asked, caller);
  const records = env.TOOL_APPROVALS;
  const lastWords = lastWordsOf(run, route);
  const approval = new ToolApproval({
    records,
    caller,
    route,
    request: asked,
    exchange,
    door,
    clientSignal: http.signal,
  });
  const request = await approval.admit();
  const { resume: heldTrace } = request.controls;
  if (heldTrace !== undefined) {
    const endsAt = receivedAt + route.policy.timeouts.total_ms;
    const held = { traceId: heldTrace, endsAt, report: reportFor(run, route) };
    return resumeStep(run, approval, request, held, lastWords);
  }
  const findProvider = await providersOf(route.policy.targets, { kv: env.CONFIG, now: readAt, waitUntil });
  const chosen = planFor(run, route, request, content.base64Length, findProvider);
  const streaming = streamingOf(run, route, request, approval, lastWords);
  const plannedAt = Date.now();
  const attempts = new Attempts({
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
    ...streaming,
  });
  const answer = await attempts.answer();
  exchange.conversation?.noteAnswered(answer.candidate.name, Date.now());
  exchange.timings.upstream = Date.now() - plannedAt;
  if (answer.kind === "operation") throw new TypeError("A conversation was answered as an operation.");
  if (answer.kind === "stream") return deliverStream(run, answer, streaming.mayResume);
  // An approval may take its time, and needs the answer only.
  body.release();
  return deliverWhole(run, answer, approval, lastWords);
}

function planFor(
  run: Run,
  route: ResolvedRoute,
  request: ChatRequest,
  base64Length: number,
  findProvider: (id: string) => Provider | undefined,
): Plan {
  const now = Date.now();
  const { conversation } = run.exchange;
  const textLength = (request.own ?? request).text.length - base64Length;
  const chosen = plan({
    route,
    wire: run.door.wire.id,
    action: request.action,
    asked: request,
    textLength,
    secrets: secretsOf(run.env),
    findProvider: (id) => toldOf(findProvider(id), request),
    stateOf: ({ name }) => targetState(run.health, name, now),
    forecastOf: ({ name }) => latencyForecast(name, request.stream ? "firstToken" : "total", now),
    mayExplore: ({ name }) => mayExplore(name, now, run.exchange.keyId ?? ""),
    expectedCostOf: costForecast(run.exchange, route, request, textLength, now),
    preferred: conversation?.preferred ?? [],
    isDisabled: ({ provider, model }) => isDisabled(route.disabled, provider, model, now),
    onSkipped: (target, reason, detail) => run.exchange.noteSkipped(target, reason, detail),
    draw: ({ name }) => (conversation === null ? Math.random() : stableDraw(conversation.sessionId, name)),
  });
  conversation?.noteDrawn(chosen.drawn.name);
  return chosen;
}

function lastWordsOf({ door, exchange }: Run, { policy }: ResolvedRoute): LastWords {
  const flow = (): Json => exchange.toFlow(Date.now(), exchange.costNanoUsd);
  const keep = door.keeperOf?.(policy) ?? null;
  // Where the last event has a place for `flow`, it has one for usage, whether the client asked or not.
  return door.endsWithFlow === true ? { flow, keep, counted: () => countedUsage(exchange) } : { flow: null, keep };
}

function streamingOf(
  run: Run,
  route: ResolvedRoute,
  request: ChatRequest,
  approval: ToolApproval,
  lastWords: LastWords,
): ConversationInput {
  const { tools, functions, n } = request.fields;
  // Where the client leaves it open, a target's own parameters may ask for several.
  const asked = n === undefined ? route.policy.targets.map(({ params }) => params["n"]) : [n];
  const choices = Math.max(1, ...asked.filter((each) => typeof each === "number"));
  return {
    streaming: {
      wire: run.door.wire,
      includeUsage: request.includeUsage,
      report: reportFor(run, route),
      gate: route.requireToolApproval ? approval : null,
      hasTools: tools !== undefined || functions !== undefined,
      choices,
      traceId: run.exchange.traceId,
      idleMs: route.policy.timeouts.idle_ms,
      deadlines: run.deadlines,
      lastWords,
    },
    mayResume: route.policy.stream_recovery === "resume" && choices === 1,
  };
}

function reportFor({ exchange }: Run, { report }: ResolvedRoute): StreamOptions["report"] {
  return report ? () => reportOf(exchange) : null;
}

function deliverStream(run: Run, answer: Extract<Answer, { kind: "stream" }>, mayResume: boolean): Response {
  if (run.http.signal.aborted) {
    // A response that is never sent never reports a disconnect: its first write would wait until `total_ms`.
    answer.end({ outcome: "cancelled", failure: null, differs: false, hasReachedClient: true, toolCalls: [] });
    throw new ClientGone();
  }
  const { readable, end } = answer.stream.start();
  run.keepsBody = mayResume;
  run.waitUntil(end.then((ended) => settleStream(run, ended)));
  return toStreamResponse(run.exchange, readable);
}

async function deliverWhole(
  run: Run,
  answer: WholeUpstream,
  approval: ToolApproval,
  { keep }: LastWords,
): Promise<Response> {
  const { exchange, settlement } = run;
  run.deadlines.stop();
  exchange.answeredAt = Date.now();
  if (run.http.signal.aborted) throw new ClientGone();
  const released = await approval.releaseOf(answer.whole);
  if (released === "client_gone") throw new ClientGone();
  const response = await toWholeResponse(exchange, answer, released, run.door.wire, keep);
  const toolCalls = toolsCalled(answer.whole);
  settlement.settle({ status: "ok", httpStatus: 200, toolCalls, endedAt: Date.now() });
  return response;
}

interface HeldStep {
  /** Trace id of the request that it answered. */
  readonly traceId: string;
  /** When the time of this request is over, epoch ms. */
  readonly endsAt: number;
  readonly report: StreamOptions["report"];
}

/** The same step once more: it is answered from the record, and no provider is called. */
async function resumeStep(
  run: Run,
  approval: ToolApproval,
  request: ChatRequest,
  held: HeldStep,
  lastWords: LastWords,
): Promise<Response> {
  const { exchange, settlement } = run;
  const { traceId, endsAt, report } = held;
  const step = await approval.heldStep(traceId);
  // As for an answer that comes now: a stream that is never sent would wait until `total_ms` to be read.
  if (run.http.signal.aborted) throw new ClientGone();
  const createdAt = Math.floor(exchange.receivedAt / 1000);
  const context = { model: "", provider: "", traceId, createdAt, conversation: foreignConversation(request) };
  const reader = { wire: run.door.wire, context };
  const ending = { httpStatus: 200, toolCalls: toolsOf(step, reader) } as const;
  if (request.stream) {
    const options = { includeUsage: request.includeUsage, report, deadlines: run.deadlines, lastWords };
    const { readable, end } = releasedStream(approval, step, traceId, { ...options, ...reader, endsAt });
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
  const flow = (): Json => exchange.toFlow(Date.now(), exchange.costNanoUsd);
  const text = await releasedBody(step, release, { ...lastWords, flow }, reader);
  const now = Date.now();
  settlement.settle({ ...ending, status: "ok", endedAt: now });
  return toJsonResponse(exchange, text, now);
}

function settleStream(run: Run, ended: AnswerEnd): void {
  run.deadlines.stop();
  run.body?.release();
  run.settlement.settle({
    status: ended.outcome === "complete" ? "ok" : ended.outcome === "cancelled" ? "cancelled" : "error",
    httpStatus: 200,
    ...(ended.outcome === "interrupted" ? { errorCode: "stream_interrupted" } : {}),
    toolCalls: ended.toolCalls,
    endedAt: Date.now(),
  });
}
