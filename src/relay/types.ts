/** What passes from one stage of a request to the next. Types only. */
import type { ToolRules } from "../approvals/match.ts";
import type { StreamGate } from "../approvals/stream-gate.ts";
import type { BudgetTerms } from "../budgets/types.ts";
import type { ModelFacts } from "../catalog/model-facts.ts";
import type { AnswerEvent, Answer as CoreAnswer } from "../conversation/answer.ts";
import type { Json } from "../conversation/part.ts";
import type { RouterError } from "../http/errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import type { Deadlines } from "../lib/time/deadline.ts";
import type { DisabledIndex } from "../policy/disabled.ts";
import type { RoutePolicy, RouteRecord, Target } from "../policy/schema.ts";
import type { PriceBook } from "../prices/book.ts";
import type { PromptBound } from "../pricing/estimate.ts";
import type {
  AnswerContext,
  Provider,
  ProviderConfig,
  Translation,
  UpstreamError,
  UpstreamFailure,
} from "../providers/adapter.ts";
import type { Credential } from "../providers/credential-pool.ts";
import type { FailureClass } from "../traces/schema.ts";
import type { RouteControls } from "../wires/openai-chat/request-fields.ts";
import type { DoorWire, ItemReader, SameWire, StreamItem, AnswerContext as WireContext } from "../wires/wire.ts";
import type { Received } from "./received.ts";
import type { Attempt } from "./trace.ts";

/** From authenticate: the key, and on whose behalf it calls. */
export interface Caller {
  readonly key: KeyRecord;
  readonly app: string;
  /** Route controls given as headers; the body wins over them. */
  readonly headerControls: RouteControls;
  readonly clientRequestId: string | null;
  /** Groups the requests of one conversation, for strategies that stick to a target. */
  readonly sessionId: string | null;
  /** Which agent of the conversation asks, for the trace. */
  readonly agentId: string | null;
}

/** From resolve: the policy in force, narrowed by the request. */
export interface ResolvedRoute {
  readonly record: RouteRecord;
  readonly policy: RoutePolicy;
  /** What attempts cost, by the time they start. */
  readonly prices: PriceBook;
  /** What operators have taken out of every plan. */
  readonly disabled: DisabledIndex;
  /** Budgets above the key that the request meets. */
  readonly budgets: readonly BudgetTerms[];
  readonly mayFallBack: boolean;
  readonly latencyBudgetMs: number | null;
  /** The most the whole request may cost. */
  readonly spendBudgetUsd: number | null;
  readonly requireToolApproval: boolean;
  /** A stream ends with a chunk that says what it cost. */
  readonly report: boolean;
  /** Stored on the trace. */
  readonly tags: Readonly<Record<string, string>>;
  readonly only: readonly string[] | undefined;
  readonly avoid: readonly string[] | undefined;
}

/** From plan: a target that may answer this request. */
export interface Candidate {
  /** `<provider>/<model>`: what health and statistics are kept by. */
  readonly name: string;
  readonly target: Target;
  readonly facts: ModelFacts;
  readonly provider: Provider;
  readonly config: ProviderConfig;
  /** What it can be called with. `config` is that of the first, or of the one that an attempt is made with. */
  readonly credentials: readonly Credential[];
  /** The one that the next attempt has to use. */
  readonly credential?: Credential;
  /**
   * `native`: the client's wire, whose bytes may pass as they come; `same_wire`: its streams are read event by event;
   * `translated`: another wire.
   */
  readonly lane: "native" | "same_wire" | "translated";
  /** The same target by another of its wires, where its API for the client's turns out to be missing. */
  readonly translated?: () => Candidate;
  /** Members that it refused in an attempt of this request: it is called once more without them. */
  readonly without?: readonly string[];
}

export interface Plan {
  /** In the order they are tried; never empty. */
  readonly candidates: readonly Candidate[];
  /** The first choice before health and abilities were looked at. */
  readonly drawn: Candidate;
  /** Why the first choice is not first, when it is not. */
  readonly passedOver: FailureClass | null;
}

/** From admit: what one attempt may use. */
export interface Claim {
  /** Unique within the request: what its reservation and its settlement are known by. */
  readonly number: number;
  /** Cap on the output, to be written upstream where the client's own is not lower. */
  readonly maxOutputTokens: number | undefined;
  /**
   * The same, where it is the router's: lower than the client's, or set where the client named none. `null`: the
   * client's own holds.
   */
  readonly setOutputCap: number | null;
  /** The most it can cost; 0 where it is not needed. */
  readonly boundNanoUsd: number;
  /**
   * The claim to go by, which may hold less, or why it is refused. Never rejects. `null`: no reservation is needed.
   */
  readonly granted: Promise<Claim | RouterError> | null;
  /** The call may start before it is granted; its answer may not be used. */
  readonly startsEarly: boolean;
}

/** How an upstream answer ended, and what was seen of it. */
export interface AnswerEnd {
  readonly outcome: "complete" | "interrupted" | "cancelled";
  /** Present for an interrupted answer. */
  readonly failure: FailureClass | null;
  /** It was to go on with a broken answer and said something else: no fault of its target's. */
  readonly differs: boolean;
  /** The client has something of it. Of a resumed answer that broke or differed before its first news it has nothing. */
  readonly hasReachedClient: boolean;
  readonly toolCalls: readonly string[];
}

/** A stream that is read event by event, its first content included. */
export interface EventSource {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly items: ItemReader;
  /** What was read before the answer was accepted. */
  readonly preamble: readonly StreamItem[];
  readonly attempt: StreamedAttempt;
  readonly describe: Reading["describe"];
  readonly context: WireContext;
}

/** A stream whose first content has arrived, not yet connected to the client. */
export interface OpenStream {
  /** `null`: its bytes move natively. */
  readonly source: EventSource | null;
  /** Connects the client. Called once; `end` never rejects. */
  start(): { readonly readable: ReadableStream<Uint8Array>; readonly end: Promise<AnswerEnd> };
}

/** A whole answer, checked: its text in the door's wire, and what it says. */
export interface WholeAnswer {
  readonly text: string;
  readonly body: Json;
  readonly toAnswer: () => CoreAnswer;
  /** The text says nothing but that, however it is read. */
  readonly isPlain: () => boolean;
  readonly context: WireContext;
}

/** A request that is no conversation: it says how to estimate it, and how an attempt calls and reads. */
export interface Operation {
  readonly estimate: Estimate;
  /** All calls of one attempt. Rejects when one is aborted by us; every other bad answer is a returned failure. */
  open(attempt: OpenAttempt): Promise<Opened<OperationAnswer>>;
}

/** What it takes of a key's limits. It has no output that a cap could bound. */
export interface Estimate {
  /** Prompt tokens, about: for rates. */
  readonly tokens: number;
  /** The most prompt tokens at `candidate`. */
  promptBound(candidate: Candidate): PromptBound;
}

export interface OpenAttempt {
  readonly candidate: Candidate;
  readonly record: Attempt;
  readonly signal: AbortSignal;
  /** Why we ended it, if we did. */
  readonly abortedBy: () => AbortReason | undefined;
  readonly classify: Reading["classify"];
}

/** What came of all calls, ready to be written. */
export interface OperationAnswer {
  /** The response, with the router's member `flow`. */
  respond(flow: Json, headers: Record<string, string>): Response;
}

/** What a successful attempt hands to the client. */
export type Answer =
  | {
      readonly kind: "stream";
      readonly candidate: Candidate;
      readonly attempt: Attempt;
      readonly stream: OpenStream;
      /** The same as `stream` has, for one that is never connected. */
      readonly end: StreamedAttempt["end"];
    }
  | { readonly kind: "whole"; readonly candidate: Candidate; readonly attempt: Attempt; readonly whole: WholeAnswer }
  | {
      readonly kind: "operation";
      readonly candidate: Candidate;
      readonly attempt: Attempt;
      readonly answer: OperationAnswer;
    };

/** Result of looking into an upstream response until it is an answer or a failure. */
export type Opened<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: UpstreamFailure };

/** What is to be sent for the tool calls that a stream held back. */
export type GateEnd =
  /** What ends the answer: text as it came, or events. `flow`: what the client learns of pending calls. */
  | {
      readonly kind: "release";
      readonly raw: string | null;
      readonly events: readonly AnswerEvent[];
      readonly flow: Json | null;
    }
  /** They are nowhere on record: nothing may be released, and nothing can be decided. */
  | { readonly kind: "unrecorded" }
  | { readonly kind: "client_gone" };

/** Where tool calls need approval. */
export interface CallGate {
  /** What the policy says of tools by their names. */
  readonly rules: ToolRules;
  /**
   * Records the calls of a stream that is complete, and waits for what becomes of them. `say` sends a comment meanwhile,
   * false when the client is gone. Never rejects.
   */
  settle(held: StreamGate, context: WireContext, say: (text: string) => Promise<boolean>): Promise<GateEnd>;
}

/** What an answer says of having been kept, or not. */
export interface Kept {
  readonly members: Json;
  /** For `flow`. */
  readonly flow: Json;
}

/** Keeps an answer, in the door's wire, before its end leaves. Never rejects. */
export type KeepAnswer = (answer: Json) => Promise<Kept>;

/** What the last event of a stream says beyond the answer. */
export interface LastWords {
  /** The router's member, made when the upstream is done; `null`: the door has no place for it there. */
  readonly flow: (() => Json) | null;
  /** `null`: nothing is kept. */
  readonly keep: KeepAnswer | null;
  /** Our own count, in chat's words, where the provider gave no figures; `null`: it gave some. Absent: not asked for. */
  readonly counted?: () => Extract<AnswerEvent, { kind: "usage" }> | null;
}

/** What `stream` needs to know of the request to open an upstream stream. */
export interface StreamOptions {
  readonly wire: DoorWire;
  /** The client asked for the usage event. */
  readonly includeUsage: boolean;
  /** Where tool calls need approval; `null`: they pass. */
  readonly gate: CallGate | null;
  /** Usage and cost for the client after the complete answer; `null`: it did not ask. */
  readonly report: (() => { readonly usage: Json; readonly flow: Json }) | null;
  /** The client offered tools: their names are noted on the trace. */
  readonly hasTools: boolean;
  readonly choices: number;
  readonly traceId: string;
  readonly idleMs: number;
  readonly deadlines: Deadlines;
  readonly lastWords: LastWords;
  /** Goes on with a broken answer where the policy wants that; `null`: there is none. */
  readonly resumption: Resumption | null;
}

export interface Resumption {
  /** The stream of the next candidate; `null` when there is none. Never rejects. */
  resume(): Promise<EventSource | null>;
}

/** Why a call to an upstream was ended by us. */
export type AbortReason =
  | "client"
  | "first_token"
  | "idle"
  | "total"
  | "latency_budget"
  | "hedge_lost"
  | "refused"
  | "too_large"
  | "failed";

/** The running call, as the streams see it. */
export interface StreamControl {
  /** Ends the upstream call at once, socket included. The first reason stays. */
  readonly abort: (reason: AbortReason) => void;
  readonly abortedBy: () => AbortReason | undefined;
  /** The client has left. */
  readonly clientGone: () => boolean;
  /** When `total_ms` is over, epoch ms. */
  readonly endsAt: number;
}

/** The attempt whose stream is delivered. */
export interface StreamedAttempt extends StreamControl {
  /** Where what comes is noted: the bill is made from it. */
  readonly received: Received;
  /** The stream would have needed mending: the target's next ones are read event by event. */
  noteUnclean(): void;
  /** The upstream is done, though its answer may be held for long: closes the record. Of several ends the first counts. */
  end(ended: AnswerEnd): void;
}

/** How the answer of one provider is read. */
export interface Reading {
  readonly classify: (error: UpstreamError) => UpstreamFailure;
  /** The provider's own message for what went wrong, scrubbed; `undefined` where it has none. */
  readonly describe: (body: unknown) => string | undefined;
  /** How whole answers become those of the door's wire; absent: they are. */
  readonly translation: Translation | undefined;
  readonly answerContext: AnswerContext;
  readonly context: WireContext;
  readonly wire: DoorWire;
  /** `withExtras`: members that the core has no place for are reported too, for a stream that is translated. */
  readonly openItems: (withExtras: boolean) => ItemReader;
  /** The provider was asked in the door's own wire, and answers in it: present where that is not chat. */
  readonly sameWire: SameWire | undefined;
  /** The stream is in the door's wire, and known to need no mending: its bytes may pass untouched. */
  readonly isClean: boolean;
}
