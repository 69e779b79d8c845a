/** What a request's conversation is called, what it will probably cost where, and what its answer teaches. */
import { cachedShareOf, reportPrompt } from "../health/client.ts";
import { ownCap } from "../pricing/estimate.ts";
import { expectedCost } from "../pricing/expected.ts";
import type { ChatRequest } from "../wires/openai-chat/request-fields.ts";
import { Conversation, expectedOutput, noteOutput } from "./affinity.ts";
import type { Exchange } from "./trace.ts";
import type { Caller, Candidate, ResolvedRoute } from "./types.ts";

/** The usual size of a token, to compare prices by. */
const USUAL_LENGTH_PER_TOKEN = 4;

const routeOf = (exchange: Exchange): string => `${exchange.env}:${exchange.route}`;

/** The name that a header gives it, else the body's key for prompt caches. `null` without a name. */
export function conversationOf(
  exchange: Exchange,
  route: ResolvedRoute,
  { fields }: ChatRequest,
  { key, sessionId }: Caller,
): Conversation | null {
  const { prompt_cache_key: cacheKey } = fields;
  const session = sessionId ?? (typeof cacheKey === "string" && cacheKey !== "" ? cacheKey : null);
  if (session === null) return null;
  const name = { keyId: key.id, route: routeOf(exchange), session };
  return new Conversation(name, route.policy.strategy, exchange.receivedAt);
}

/**
 * What the request will probably cost at a target, nano-USD; `null` where its price is not known. `textLength`: of the
 * body, base64 left out.
 */
export function costForecast(
  exchange: Exchange,
  route: ResolvedRoute,
  { fields }: ChatRequest,
  textLength: number,
  now: number,
): (candidate: Candidate) => number | null {
  const { conversation } = exchange;
  const cap = ownCap(fields) ?? route.policy.limits.max_output_tokens;
  const use = {
    promptTokens: textLength / USUAL_LENGTH_PER_TOKEN,
    outputTokens: expectedOutput(routeOf(exchange), cap, now),
  };
  return ({ name, facts, target }) => {
    // Only the target that answered last has the conversation in its cache.
    const cachedShare = conversation?.isCachedAt(name) === true ? cachedShareOf(name) : 0;
    return facts.price === undefined ? null : expectedCost(facts.price, target.provider, { ...use, cachedShare }, now);
  };
}

/** What the answer says of its target's cache and of its route, for the requests after it. */
export function noteBooked(exchange: Exchange): void {
  const { winner } = exchange;
  if (winner === undefined) return;
  const { usage, usageSource } = exchange.bill(winner);
  if (usageSource !== "upstream") return;
  reportPrompt(`${winner.provider}/${winner.model}`, usage.promptTokens, usage.cachedTokens);
  noteOutput(routeOf(exchange), usage.completionTokens, Date.now());
}
