/** What passes from one stage of a request to the next. Types only. */
import type { ModelFacts } from "../catalog/facts.ts";
import type { KeyRecord } from "../keys/record.ts";
import type { RouteControls } from "../openai.ts";
import type { RoutePolicy, RouteRecord, Target } from "../policy/schema.ts";
import type {
  AnswerContext,
  Provider,
  ProviderConfig,
  Translation,
  UpstreamError,
  UpstreamFailure,
} from "../providers/adapter.ts";
import type { FailureClass } from "../traces/schema.ts";
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
}

/** From resolve: the policy in force, narrowed by the request. */
export interface ResolvedRoute {
  readonly record: RouteRecord;
  readonly policy: RoutePolicy;
  readonly mayFallBack: boolean;
  readonly latencyBudgetMs: number | null;
  readonly requireToolApproval: boolean;
  readonly only: readonly string[] | undefined;
  readonly avoid: readonly string[] | undefined;
}

/** From plan: a target that may answer this request. */
export interface Candidate {
  readonly target: Target;
  readonly facts: ModelFacts;
  readonly provider: Provider;
  readonly config: ProviderConfig;
}

export interface Plan {
  /** In the order they are tried; never empty. */
  readonly candidates: readonly Candidate[];
  /** Why the first choice is not first, when it is not. */
  readonly passedOver: FailureClass | null;
}

/** How an upstream answer ended, and what was seen of it. */
export interface AnswerEnd {
  readonly outcome: "complete" | "interrupted" | "cancelled";
  /** Of an interrupted answer. */
  readonly failure: FailureClass | null;
  /** The vendor's own usage object, when one was seen. */
  readonly rawUsage: unknown;
  /** Events that carried content: a count of tokens when the vendor sent no usage. */
  readonly contentEvents: number;
  readonly toolCalls: readonly string[];
}

/** A stream whose first content has arrived, not yet connected to the client. */
export interface OpenStream {
  /** Connects the client. Called once; `end` never rejects. */
  start(): { readonly readable: ReadableStream<Uint8Array>; readonly end: Promise<AnswerEnd> };
}

/** A whole answer: the vendor's text, checked, with what the router reads of it. */
export interface WholeAnswer {
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a successful attempt hands to the client. */
export type Answer =
  | {
      readonly kind: "stream";
      readonly candidate: Candidate;
      readonly attempt: Attempt;
      readonly stream: OpenStream;
      /** To be called at the end of the stream: stops the clocks that still run. */
      readonly release: () => void;
    }
  | { readonly kind: "whole"; readonly candidate: Candidate; readonly attempt: Attempt; readonly whole: WholeAnswer };

/** Result of looking into an upstream response until it is an answer or a failure. */
export type Opened<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: UpstreamFailure };

/** What `stream` needs to know of the request to open an upstream stream. */
export interface StreamWish {
  /** The client asked for the usage event. */
  readonly includeUsage: boolean;
  /** Tool calls must not reach the client. */
  readonly withholdTools: boolean;
  /** The client offered tools: their names are noted on the trace. */
  readonly hasTools: boolean;
  readonly choices: number;
  readonly traceId: string;
  readonly idleMs: number;
}

/** Why a call to an upstream was ended by us. */
export type AbortReason = "client" | "first_token" | "idle" | "total" | "latency_budget" | "too_large" | "failed";

/** The running call, as the streams see it. */
export interface StreamControl {
  /** Ends the upstream call at once, socket included. The first reason stays. */
  readonly abort: (reason: AbortReason) => void;
  readonly abortedBy: () => AbortReason | undefined;
  /** The client has left. */
  readonly clientGone: () => boolean;
}

/** How the answer of one provider is read. */
export interface Reading {
  readonly classify: (error: UpstreamError) => UpstreamFailure;
  /** Absent: the wire is OpenAI's. */
  readonly translation: Translation | undefined;
  readonly context: AnswerContext;
}
