/** What goes out for one attempt, and how what comes back is read. */
import { isUnclean } from "../../health/client.ts";
import { JsonEdit } from "../../lib/json.ts";
import type { PriceBook } from "../../prices/book.ts";
import type { AdapterCall, ProviderAdapter, UpstreamFailure, UpstreamRequest } from "../../providers/adapter.ts";
import { describeError } from "../../providers/classify.ts";
import { diagnosed, unanswered } from "../../providers/diagnosis.ts";
import { openHeadersOf } from "../../providers/provider-settings.ts";
import { foreignConversation } from "../../wires/asked.ts";
import { droppedParams, inClientSpelling, namesOf } from "../../wires/bridge.ts";
import { EventItems } from "../../wires/event-items.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { openItems } from "../../wires/openai-chat/stream/items.ts";
import type { DoorWire, ItemReader, StreamItem } from "../../wires/wire.ts";
import type { Tariff } from "../billing.ts";
import type { Attempt, Exchange } from "../trace.ts";
import type { AbortReason, Candidate, Reading } from "../types.ts";

/** What is known of its cost beforehand. */
export function tariffOf(
  { facts, config, provider, target }: Candidate,
  { fields, stream }: ChatRequest,
  prices: PriceBook,
  now: number,
): Tariff {
  const effort = fields["reasoning_effort"] ?? target.params["reasoning_effort"];
  const { translation, announcesThinking } = provider.adapter;
  const known = prices.find(target.provider, target.model, now);
  return {
    price: known?.price,
    priceOf: (model) => prices.find(target.provider, model, now)?.price,
    priceRow: known?.row ?? null,
    baseUrl: config.baseUrl,
    thinks: effort === "none" ? false : facts.reasoning,
    announcesThinking:
      stream && (announcesThinking ?? (translation?.openReader !== undefined && translation.hidesThinking !== true)),
  };
}

export function readingOf(
  asked: ChatRequest,
  { name, provider, target, config, lane }: Candidate,
  record: Attempt,
  wire: DoorWire,
  traceId: string,
): Reading {
  const { adapter } = provider;
  const { translation } = adapter;
  const common = {
    model: target.model,
    traceId,
    createdAt: Math.floor(record.startedAt / 1000),
  };
  const answerContext = { ...common, asked };
  const context = { ...common, provider: provider.id, conversation: foreignConversation(asked) };
  const sameWire = lane === "translated" ? undefined : wire.sameWire;
  const isClean = sameWire === undefined ? translation?.passesNatively?.(answerContext) === true : lane === "native";
  return {
    classify: (error) => diagnosed(adapter.classify(error), error, config),
    describe: (body) => describeError(body, config),
    translation,
    answerContext,
    context,
    wire,
    sameWire,
    openItems(withExtras) {
      if (sameWire !== undefined) {
        // Names and forms in the answer are the client's own: the request was not translated.
        const items = sameWire.openItems({ ...context, conversation: null }, lane === "native" && !withExtras);
        return withExtras ? new RewrittenItems(items) : items;
      }
      if (translation?.openReader !== undefined) return new EventItems(translation.openReader(answerContext));
      if (wire.id === "openai-chat") return openItems(translation, answerContext, withExtras ? "extras" : "plain");
      return new RewrittenItems(openItems(translation, answerContext, "parts"));
    },
    isClean: isClean && lane !== "translated" && !isUnclean(name, record.startedAt),
  };
}

/** Members of the client's that `candidate` would not get. Calls no provider; rejects for what cannot be written. */
export async function droppedFor(
  request: ChatRequest,
  candidate: Candidate,
  wire: DoorWire,
  clientHeaders: Exchange["clientHeaders"],
): Promise<readonly string[]> {
  const { leftOut = [] } = request;
  const { provider } = candidate;
  if (provider.send !== undefined) return leftOut;
  const upstream = await written(provider.adapter, callOf(request, undefined, candidate, clientHeaders));
  return droppedOf(upstream, request, candidate, wire, clientHeaders);
}

function droppedOf(
  { droppedParams: dropped }: UpstreamRequest,
  request: ChatRequest,
  candidate: Candidate,
  wire: DoorWire,
  clientHeaders: Exchange["clientHeaders"],
): readonly string[] {
  const { leftOut = [] } = request;
  const named = isChat(candidate) ? inClientSpelling(dropped, request) : dropped;
  const unread = candidate.lane === "translated" ? namesOf(request.own?.untranslated() ?? []) : [];
  const unsent = candidate.lane === "translated" ? unsentHeaders(wire, candidate.provider, clientHeaders) : [];
  return [...leftOut, ...named, ...untold(request, candidate), ...unread, ...unsent];
}

function callOf(
  request: ChatRequest,
  maxOutputTokens: number | undefined,
  { provider, target, config, without, lane, facts }: Candidate,
  clientHeaders: Exchange["clientHeaders"],
): AdapterCall {
  const sent = lane === "translated" ? request : (request.own ?? request);
  let body: JsonEdit | undefined;
  return {
    asked: request,
    // A target of another wire never asks for it, and for a client of another wire it would have to be written.
    get body() {
      body ??= new JsonEdit(sent.text, sent.members).remove("route");
      return body;
    },
    fields: sent.fields,
    stream: request.stream,
    model: target.model,
    params: target.params,
    maxOutputTokens,
    openHeaders: openHeadersOf(provider.openHeaders, clientHeaders),
    config,
    without,
    reasons: facts.reasoning,
    action: request.action,
  };
}

/** Makes the call. `maxOutputTokens`: the cap that was admitted. */
export async function send(
  request: ChatRequest,
  maxOutputTokens: number | undefined,
  candidate: Candidate,
  record: Attempt,
  wire: DoorWire,
  clientHeaders: Exchange["clientHeaders"],
  signal: AbortSignal,
): Promise<Response> {
  const { provider } = candidate;
  const adapterCall = callOf(request, maxOutputTokens, candidate, clientHeaders);
  const { leftOut = [] } = request;
  record.droppedParams = leftOut;
  if (provider.send !== undefined) return provider.send(adapterCall, signal);
  const upstream = await written(provider.adapter, adapterCall);
  record.droppedParams = droppedOf(upstream, request, candidate, wire, clientHeaders);
  return fetch(upstream.url, {
    method: "POST",
    headers: upstream.headers,
    body: upstream.body,
    // A redirect would carry the credential to a host that was not approved.
    redirect: "manual",
    signal,
  });
}

/** Headers that say which version of the wire is meant, and nothing of the answer. */
const OF_THE_WIRE = /-version$/;

/** Headers that belong to the client's body, and that a provider of another wire was not sent. */
function unsentHeaders(
  { openHeaders: prefix }: DoorWire,
  { openHeaders: taken = [] }: Candidate["provider"],
  clientHeaders: Exchange["clientHeaders"],
): readonly string[] {
  if (prefix === undefined) return [];
  const names = [...(clientHeaders?.keys() ?? [])].filter((name) => name.startsWith(prefix));
  return names.filter((name) => !OF_THE_WIRE.test(name) && !taken.includes(name));
}

/** Members of another wire's request that a target that speaks chat did not receive. */
function untold(request: ChatRequest, candidate: Candidate): readonly string[] {
  return isChat(candidate) ? droppedParams(request.chatLosses ?? [], request) : [];
}

function isChat({ lane, provider }: Candidate): boolean {
  return lane === "translated" && provider.adapter.translation?.openReader === undefined;
}

/** Items of a stream whose text is not in the door's wire: everything is written from its events. */
class RewrittenItems implements ItemReader {
  readonly #items: ItemReader;

  constructor(items: ItemReader) {
    this.#items = items;
  }

  get isOverlong(): boolean {
    return this.#items.isOverlong;
  }

  get isDocument(): boolean {
    return this.#items.isDocument === true;
  }

  push(bytes: Uint8Array): readonly StreamItem[] {
    return this.#items.push(bytes).flatMap(withoutText);
  }

  end(): readonly StreamItem[] {
    return this.#items.end().flatMap(withoutText);
  }
}

/** What closes an answer says how it ended: that is read before the end itself. */
function withoutText(item: StreamItem): StreamItem[] {
  const own: StreamItem = { ...item, raw: null, isPlain: false, closes: false };
  if (item.closes !== true || !item.ends) return [own];
  return [
    { ...own, ends: false },
    { ...own, events: [] },
  ];
}

/** The adapter could not express the request; no upstream call was made. */
class UntranslatableRequest extends Error {
  override readonly name = "UntranslatableRequest";
}

async function written(adapter: ProviderAdapter, call: AdapterCall): Promise<UpstreamRequest> {
  try {
    return await adapter.toUpstream(call);
  } catch {
    throw new UntranslatableRequest();
  }
}

/** A call that rejected: ended by one of our clocks, or by the network. */
export function brokenCall(error: unknown, abortedBy: AbortReason | undefined): UpstreamFailure {
  if (abortedBy === "too_large") return { class: "invalid_response", tryNext: true, trySame: false };
  // After silence the same target is not asked again: it would be silent once more.
  if (abortedBy !== undefined) {
    const isLatency = abortedBy === "latency_budget";
    const words = isLatency ? "No answer within the latency budget." : `No answer within ${abortedBy}_ms.`;
    return unanswered({ class: "timeout", tryNext: true, trySame: false }, words);
  }
  // Blame the request, not the target: otherwise one client could trip a shared breaker.
  if (error instanceof UntranslatableRequest) return { class: "invalid_request", tryNext: true, trySame: false };
  // workerd's text for a reset or refused connection; a name that does not resolve reads otherwise and will not heal.
  const words = error instanceof Error ? error.message : "";
  const isReset = words.includes("Network connection lost");
  return unanswered({ class: "network", tryNext: true, trySame: isReset }, words);
}
