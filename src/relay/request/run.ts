/**
 * What all requests have in common, whatever they ask for: the checks up to the route, in the contract's order, and the
 * one end where errors become answers and nothing is left unsettled.
 */
import type { Context } from "hono";
import { type AppEnv, type Env, settingsOf } from "../../config.ts";
import { type HealthContext, warmUp } from "../../health/client.ts";
import { OpenBody } from "../../http/body.ts";
import { invalidKey, RouterError } from "../../http/errors.ts";
import { unexpectedFault } from "../../http/internal-error.ts";
import type { KeyRecord } from "../../keys/record.ts";
import { verifyToken } from "../../keys/store.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { Deadlines } from "../../lib/time/deadline.ts";
import { isExporting } from "../../traces/exporter.ts";
import { parseTraceparent } from "../../traces/otlp.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { ClientGone } from "../attempts/attempts.ts";
import { identify, recogniseKey, requireScope } from "../authenticate.ts";
import { noteBooked } from "../conversation.ts";
import type { AnyDoor } from "../door.ts";
import { type RefusedRequest, reportRefusal } from "../refusal.ts";
import { resolve, showModel } from "../resolve.ts";
import { Settlement } from "../settle.ts";
import { Exchange } from "../trace.ts";
import type { Caller, ResolvedRoute } from "../types.ts";

/** What a request may still do after `total_ms`. */
const MAX_OVERTIME_MS = 60_000;
/** A larger body that is refused is not read once more for the name of its model. */
const MAX_LOOKED_INTO = 1_000_000;

type WaitUntil = (work: Promise<unknown>) => void;

export interface AnyRun<D extends AnyDoor = AnyDoor> {
  readonly door: D;
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

/** Handles one request that came in by `door`: `complete` makes its answer, or throws. Never rejects. */
export function handle<D extends AnyDoor>(
  context: Context<AppEnv>,
  door: D,
  complete: (run: AnyRun<D>) => Promise<Response>,
): Promise<Response> {
  const waitUntil: WaitUntil = (work) => context.executionCtx.waitUntil(work);
  const exchange = new Exchange(context.get("traceId"), context.get("receivedAt"), door.api);
  const { env } = context;
  const settlement = new Settlement(exchange, env, waitUntil, () => noteBooked(exchange));
  const deadlines = new Deadlines();
  const health: HealthContext = {
    ...{ namespace: env.PROVIDER_HEALTH, kv: env.CONFIG, waitUntil },
    key: () => exchange.keyId,
  };
  const run: AnyRun<D> = {
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
  const answer = answerOrError(run, complete).finally(() => {
    if (!run.keepsBody) run.body?.release();
  });
  // A client that leaves before the response head would otherwise end this handler at its next await: no catch, no
  // finally, nothing settled.
  waitUntil(answer);
  return answer;
}

async function answerOrError<D extends AnyDoor>(
  run: AnyRun<D>,
  complete: (run: AnyRun<D>) => Promise<Response>,
): Promise<Response> {
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
    return run.door.errorResponse(known, exchange.toErrorFlow(), exchange.toHeaders(now), run.http.url);
  }
}

/** A request whose caller and route are known. */
export interface Begun {
  readonly asked: ChatRequest;
  readonly caller: Caller;
  readonly route: ResolvedRoute;
  /** When its body was there, epoch ms. */
  readonly readAt: number;
  readonly body: OpenBody;
}

/** From the head to the route. Throws what the contract refuses until there. */
export async function begin(run: AnyRun): Promise<Begun> {
  const { door, http, env, waitUntil, exchange } = run;
  const { receivedAt } = exchange;
  const { builtIn } = door;
  const token = builtIn === undefined ? await verifyToken(door.token(http), settingsOf(env)) : null;
  if (token === null && builtIn === undefined) throw invalidKey();
  const body = new OpenBody(http, receivedAt, settingsOf(env).maxBodyBytes);
  run.body = body;
  warmUp(run.health, receivedAt);
  const key = builtIn ?? (await recognised(token, env, receivedAt, waitUntil));
  exchange.keyId = key.id;
  exchange.env = key.env;
  const caller = identify(key, http);
  noteCaller(run, caller);
  const owner = { keyId: key.id, secret: token?.key.secret ?? "", hold: (bytes: number) => body.hold(bytes) };
  const text = await body.read(run.deadlines);
  let asked: ChatRequest;
  try {
    asked = await door.parse(text, owner);
  } catch (error) {
    run.asked = { route: askedModel(text) };
    throw error;
  }
  run.asked = { route: showModel(asked.model), stream: asked.stream };
  const readAt = Date.now();
  requireScope(key, "chat");
  const route = await resolve(asked, caller, door.kind, { kv: env.CONFIG, now: readAt, waitUntil });
  noteRoute(exchange, route, asked);
  // Should this handler be ended from outside, what it holds lapses when its last attempt must be over.
  body.keepUntil(receivedAt + route.policy.timeouts.total_ms + MAX_OVERTIME_MS);
  exchange.timings.policy = Date.now() - readAt;
  return { asked, caller, route, readAt, body };
}

/** What a body that is refused asked for, as far as it says so: its trace names it. */
function askedModel(text: string): string | null {
  if (text.length > MAX_LOOKED_INTO) return null;
  const body = tryParseJson(text);
  return isJsonObject(body) && typeof body["model"] === "string" ? showModel(body["model"]) : null;
}

function recognised(
  token: Awaited<ReturnType<typeof verifyToken>>,
  env: Env,
  now: number,
  waitUntil: WaitUntil,
): Promise<KeyRecord> {
  if (token === null) throw invalidKey();
  return recogniseKey(token, env, now, waitUntil);
}

function noteCaller({ exchange, http, env }: AnyRun, caller: Caller): void {
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
  exchange.budgets = route.budgets;
  if (route.requireToolApproval) exchange.toolApproval = "required";
}

/** A response that is never read. The trace keeps it: providers have seen the prompt and may bill it. */
function clientGone(run: AnyRun): Response {
  run.settlement.settle({ status: "cancelled", httpStatus: 499, toolCalls: [], endedAt: Date.now() });
  return new Response(null, { status: 499 });
}

/** The value of `make`, made when it is first asked for. */
export function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
