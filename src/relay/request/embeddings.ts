/**
 * One embeddings request, top to bottom: the stages of a conversation without its approval, its streams and its affinity,
 * because the same text has the same vector whatever was asked before.
 */
import type { Context } from "hono";
import { type AppEnv, secretsOf } from "../../config.ts";
import { latencyForecast, mayExplore, targetState } from "../../health/client.ts";
import { isDisabled } from "../../policy/disabled.ts";
import type { Provider } from "../../providers/adapter.ts";
import { Admission } from "../admission/admission.ts";
import { Attempts, ClientGone } from "../attempts/attempts.ts";
import { costForecast } from "../conversation.ts";
import { jsonHeaders } from "../deliver.ts";
import type { AnyDoor } from "../door.ts";
import { EmbeddingOperation, INPUT, NO_CONTENT } from "../embedding/operation.ts";
import { providersOf } from "../operator-providers.ts";
import { plan } from "../plan.ts";
import type { Answer, Plan } from "../types.ts";
import { explainStep, wantsExplanation } from "./explained.ts";
import { type AnyRun, type Begun, begin, handle } from "./run.ts";

/** Handles one request that came in by `door`. Never rejects. */
export function relayEmbeddings(context: Context<AppEnv>, door: AnyDoor): Promise<Response> {
  return handle(context, door, complete);
}

async function complete(run: AnyRun): Promise<Response> {
  const { http, env, waitUntil, exchange, deadlines } = run;
  const begun = await begin(run);
  const { asked: request, caller, route, readAt, body } = begun;
  // There is no call that it could hold.
  exchange.toolApproval = null;
  const operation = new EmbeddingOperation(request, route);
  if (wantsExplanation(http.headers)) return explainStep(run, { request, caller, route, wire: null, operation });
  exchange.promptTokens = () => operation.promptTokens();
  const findProvider = await providersOf(route.policy.targets, { kv: env.CONFIG, now: readAt, waitUntil });
  const chosen = planFor(run, begun, operation, findProvider);
  const tooLarge = operation.tooLargeAt(chosen.candidates[0]!);
  if (tooLarge !== null) throw tooLarge;
  const plannedAt = Date.now();
  const { estimate } = operation;
  const admission = new Admission({
    ...{ ledgers: env.KEY_LEDGER, key: caller.key, route, request, content: NO_CONTENT, exchange, waitUntil, estimate },
  });
  const attempts = new Attempts({
    ...{ plan: chosen, route, request, exchange, clientSignal: http.signal, deadlines, health: run.health },
    ...{ admission, operation },
  });
  const answer = await attempts.answer().catch((error: unknown) => {
    throw operation.refusal ?? error;
  });
  exchange.timings.upstream = Date.now() - plannedAt;
  body.release();
  return deliver(run, answer);
}

function planFor(
  run: AnyRun,
  { route, asked: request }: Begun,
  operation: EmbeddingOperation,
  findProvider: (id: string) => Provider | undefined,
): Plan {
  const now = Date.now();
  const { exchange } = run;
  return plan({
    route,
    // The protocol of the same providers: which lane a target takes is the same for both.
    wire: "openai-chat",
    asked: request,
    textLength: operation.longest,
    subject: INPUT,
    secrets: secretsOf(run.env),
    findProvider(id) {
      const provider = findProvider(id);
      return provider === undefined ? undefined : operation.view(provider);
    },
    stateOf: ({ name }) => targetState(run.health, name, now),
    forecastOf: ({ name }) => latencyForecast(name, "total", now),
    mayExplore: ({ name }) => mayExplore(name, now, exchange.keyId ?? ""),
    expectedCostOf: costForecast(exchange, route, request, operation.textLength, now),
    preferred: [],
    isDisabled: ({ provider, model }) => isDisabled(route.disabled, provider, model, now),
    onSkipped: (target, reason, detail) => exchange.noteSkipped(target, reason, detail),
    draw: () => Math.random(),
  });
}

function deliver(run: AnyRun, answer: Answer): Response {
  const { exchange, settlement, http } = run;
  run.deadlines.stop();
  exchange.answeredAt = Date.now();
  if (http.signal.aborted) throw new ClientGone();
  if (answer.kind !== "operation") throw new TypeError("An embeddings request was answered as a conversation.");
  const now = Date.now();
  const flow = exchange.toFlow(now, exchange.costNanoUsd);
  const response = answer.answer.respond(flow, jsonHeaders(exchange, now));
  settlement.settle({ status: "ok", httpStatus: 200, toolCalls: [], endedAt: now });
  return response;
}
