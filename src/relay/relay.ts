/**
 * One request, top to bottom, by whichever door it came. Read this first: each line of `complete` is a stage, in the
 * contract's order of checks, and a stage knows no other.
 */
import type { Context } from "hono";
import { type AppEnv, type Env, secretsOf, settingsOf } from "../config.ts";
import { firstSerious } from "../conversation/loss.ts";
import type { Json } from "../conversation/part.ts";
import { type HealthContext, latencyForecast, mayExplore, targetState, warmUp } from "../health/client.ts";
import { OpenBody } from "../http/body.ts";
import { invalidKey, RouterError } from "../http/errors.ts";
import { unexpectedFault } from "../http/internal-error.ts";
import { verifyToken } from "../keys/store.ts";
import { Deadlines } from "../lib/deadline.ts";
import { promptTokens } from "../pricing/count.ts";
import type { Provider } from "../providers/adapter.ts";
import { isExporting } from "../traces/exporter.ts";
import { parseTraceparent } from "../traces/otlp.ts";
import { notedConversation } from "../wires/bridge.ts";
import { readContentDemand } from "../wires/openai-chat/read-demand.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import { Admission } from "./admission.ts";
import { ToolApproval } from "./approval/approval.ts";
import { releasedBody, releasedStream, toolsOf } from "./approval/resume.ts";
import type { AttemptInput } from "./attempts/attempt.ts";
import { Attempts, ClientGone } from "./attempts/attempts.ts";
import { identify, recogniseKey, requireScope } from "./authenticate.ts";
import { conversationOf, costForecast, noteBooked } from "./conversation.ts";
import {
  reportOf,
  toJsonResponse,
  toolsCalled,
  toStreamResponse,
  toWholeResponse,
  type WholeUpstream,
} from "./deliver.ts";
import type { Door } from "./door.ts";
import { providersOf } from "./operator-providers.ts";
import { plan, stableDraw } from "./plan.ts";
import { type RefusedRequest, reportRefusal } from "./refusal.ts";
import { resolve, showModel } from "./resolve.ts";
import { Settlement } from "./settle.ts";
import { Exchange } from "./trace.ts";
import type { Answer, AnswerEnd, Caller, LastWords, Plan, ResolvedRoute, StreamOptions } from "./types.ts";

/** What a request may still do after `total_ms`. */
const MAX_OVERTIME_MS = 60_000;

type WaitUntil = (work: Promise<unknown>) => void;

interface Run {
  readonly door: Door;
  readonly http: Request;
  readonly env: Env;
  readonly waitUntil: WaitUntil;
  readonly exchange: Exchange;
  readonly settlement: Settlement;
  readonly deadlines: Deadlines;
  readonly health: HealthContext;
  /** What the body asks for, for the trace of a request that is refused before it reaches a route. */
  asked: Pick<RefusedRequest, "route" | "stream">;
  /** `null` until its head was checked. To be released when no attempt can need it: an isolate holds so many bytes. */
  body: OpenBody | null;
  /** A broken stream may be run again, so the body is needed until its end. */
  keepsBody: boolean;
}

/** Handles one request that came in by `door`. Never rejects. */
export function relay(context: Context<AppEnv>, door: Door): Promise<Response> {
  const waitUntil: WaitUntil = (work) => context.executionCtx.waitUntil(work);
  const exchange = new Exchange(context.get("traceId"), context.get("receivedAt"), door.api);
  const { env } = context;
  const settlement = new Settlement(exchange, env, waitUntil, () => noteBooked(exchange));
  const deadlines = new Deadlines();
  const health: HealthContext = {
    ...{ namespace: env.PROVIDER_HEALTH, kv: env.CONFIG, waitUntil },
    key: () => exchange.keyId,
  };
  const run: Run = {
    door,
    http: context.req.raw,
    env,
    waitUntil,
    exchange,
    settlement,
    deadlines,
    health,
    asked: {},
    body: null,
    keepsBody: false,
  };
  const answer = answerOrError(run).finally(() => {
    if (!run.keepsBody) run.body?.release();
  });
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
    if (exchange.route === null) {
      const { traceId, receivedAt, keyId, env, app, clientRequestId, api } = exchange;
      const refused = { traceId, receivedAt, keyId, env, app, clientRequestId, api, ...run.asked };
      reportRefusal(run.env, refused, known, run.waitUntil);
    }
    settlement.settle({
      toolCalls: [],
      status: known.status === 402 || known.status === 403 ? "denied" : "error",
      httpStatus: known.status,
      errorCode: known.code,
      endedAt: now,
    });
    return run.door.errorResponse(known, exchange.toErrorFlow(), exchange.toHeaders(now));
  }
}

async function complete(run: Run): Promise<Response> {
  const { door, http, env, waitUntil, exchange } = run;
  const { receivedAt } = exchange;
  const token = await verifyToken(door.token(http.headers), settingsOf(env).pepper);
  if (token === null) throw invalidKey();
  const body = new OpenBody(http, receivedAt, settingsOf(env).maxBodyBytes);
  run.body = body;
  warmUp(run.health, receivedAt);
  const key = await recogniseKey(token, env.CONFIG, receivedAt, waitUntil);
  exchange.keyId = key.id;
  exchange.env = key.env;
  const caller = identify(key, http);
  noteCaller(run, caller);
  const owner = { keyId: key.id, secret: token.key.secret };
  const asked = await door.parse(await body.read(run.deadlines), owner);
  const content = readContentDemand(asked.fields["messages"]);
  exchange.promptTokens = lazy(() => promptTokens(asked.text, content.base64Length));
  run.asked = { route: showModel(asked.model), stream: asked.stream };
  const readAt = Date.now();
  requireScope(key, "chat");
  const route = await resolve(asked, caller, { kv: env.CONFIG, now: readAt, waitUntil });
  noteRoute(exchange, route, asked);
  exchange.conversation = conversationOf(exchange, route, asked, caller);
  // Should this handler be ended from outside, what it holds lapses when its last attempt must be over.
  body.keepUntil(receivedAt + route.policy.timeouts.total_ms + MAX_OVERTIME_MS);
  exchange.timings.policy = Date.now() - readAt;
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
  if (answer.kind === "stream") return deliverStream(run, answer, streaming.mayResume);
  // An approval may take its time, and needs the answer only.
  body.release();
  return deliverWhole(run, answer, approval, lastWords);
}

function noteCaller({ exchange, http, env }: Run, caller: Caller): void {
  if (isExporting(settingsOf(env).exporter)) exchange.parent = parseTraceparent(http.headers.get("traceparent"));
  exchange.app = caller.app;
  exchange.clientRequestId = caller.clientRequestId;
  exchange.clientHeaders = http.headers;
  exchange.agentId = caller.agentId;
  exchange.timings.auth = Date.now() - exchange.receivedAt;
}

function noteRoute(exchange: Exchange, route: ResolvedRoute, request: ChatRequest): void {
  exchange.route = route.record.name;
  exchange.routeVersion = route.record.version;
  exchange.stream = request.stream;
  exchange.latencyBudgetMs = route.latencyBudgetMs;
  exchange.tags = route.tags;
  if (route.requireToolApproval) exchange.toolApproval = "required";
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
  const textLength = request.text.length - base64Length;
  const chosen = plan({
    route,
    fields: request.fields,
    textLength,
    secrets: secretsOf(run.env),
    findProvider: (id) => toldOf(findProvider(id), request),
    stateOf: ({ name }) => targetState(run.health, name, now),
    forecastOf: ({ name }) => latencyForecast(name, request.stream ? "firstToken" : "total", now),
    mayExplore: ({ name }) => mayExplore(name, now, run.exchange.keyId ?? ""),
    expectedCostOf: costForecast(run.exchange, route, request, textLength, now),
    preferred: conversation?.preferred ?? [],
    draw: ({ name }) => (conversation === null ? Math.random() : stableDraw(conversation.sessionId, name)),
  });
  conversation?.noteDrawn(chosen.drawn.name);
  return chosen;
}

/** A provider that speaks chat lacks what the chat form of a request that came by another wire had to leave out. */
function toldOf(provider: Provider | undefined, { chatLosses = [] }: ChatRequest): Provider | undefined {
  const loss = firstSerious(chatLosses);
  if (loss === undefined || provider === undefined) return provider;
  const message = loss.why ?? `\`${loss.path}\` cannot be sent to this target.`;
  const told = (chosen: Provider): Provider =>
    chosen.adapter.translation?.openStream === undefined
      ? { ...chosen, lacks: () => loss.path, refuses: () => ({ param: loss.path, message }) }
      : chosen;
  return { ...told(provider), forRequest: (request) => told(provider.forRequest?.(request) ?? provider) };
}

function lastWordsOf({ door, exchange }: Run, { policy }: ResolvedRoute): LastWords {
  const flow = (): Json => exchange.toFlow(Date.now(), exchange.costNanoUsd);
  return { flow: door.endsWithFlow === true ? flow : null, keep: door.keeperOf?.(policy) ?? null };
}

function streamingOf(
  run: Run,
  route: ResolvedRoute,
  request: ChatRequest,
  approval: ToolApproval,
  lastWords: LastWords,
): Pick<AttemptInput, "streaming" | "mayResume"> {
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
  const context = { model: "", provider: "", traceId, createdAt, conversation: notedConversation(request.fields) };
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

/** Nobody reads this response. The trace keeps it: providers have seen the prompt and may bill it. */
function clientGone(run: Run): Response {
  run.settlement.settle({ status: "cancelled", httpStatus: 499, toolCalls: [], endedAt: Date.now() });
  return new Response(null, { status: 499 });
}

/** The value of `make`, made when it is first asked for. */
function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
