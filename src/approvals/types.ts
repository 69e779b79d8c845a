/** What crosses the boundary of the record of tool approvals. Plain data; refusals are members of a union. */
import type { CallKind } from "../conversation/tool-turns.ts";
import type { Verdict } from "./match.ts";

/** Status of a tool call. `expired`: the time to decide ended without a decision. */
export type ApprovalStatus = Verdict | "expired";

export const APPROVAL_STATUSES = ["pending", "approved", "denied", "expired"] as const satisfies ApprovalStatus[];

/** A call of an answer, to be recorded. */
export interface CallToRecord {
  /** The provider's; `null`: it needs one of ours. */
  readonly id: string | null;
  readonly kind: CallKind;
  readonly name: string;
  readonly arguments: string;
  /** Digest of the arguments' UTF-8, in hex. */
  readonly sha256: string;
  readonly verdict: Verdict;
}

/** All calls of one answer. Sent again under the same trace id it changes nothing. */
export interface AnswerToRecord {
  readonly traceId: string;
  readonly keyId: string;
  readonly env: string;
  readonly app: string;
  /** As the contract shows it, `flow/<name>`. */
  readonly route: string;
  /** How long a pending call may be decided. */
  readonly ttlMs: number;
  readonly calls: readonly CallToRecord[];
  /** What answers the same request once it is decided; `null` where nothing is held. */
  readonly step: HeldStep | null;
}

/** An answer that was not given yet, and the request it belongs to. */
export interface HeldStep {
  /** Route, number of messages and last message: what makes a request the same step. */
  readonly digest: string;
  /** The whole answer as a chat completion, JSON text, with the calls as the provider numbered them. */
  readonly body: string;
}

/** What became of a call of an answer so far. */
export interface RuledCall {
  readonly id: string;
  readonly name: string;
  readonly status: ApprovalStatus;
}

/** The calls of one answer, in its order. */
export interface Ruling {
  readonly calls: readonly RuledCall[];
  /** Epoch ms at which the time to decide ends. */
  readonly expiresAt: number;
}

export type RecordAnswer =
  | {
      readonly ok: true;
      readonly ruling: Ruling;
      /** Nothing may be released before: other isolates may believe for so long that the key has no recorded call. */
      readonly releaseInMs: number;
    }
  | { readonly ok: false; readonly reason: "too_large" };

export interface StoredStep extends HeldStep {
  readonly ruling: Ruling;
}

/** A call as a conversation shows it. */
export interface CallClaim {
  readonly kind: CallKind;
  readonly name: string;
  /** `null`: others may read something else in the call, so it is none that was recorded. */
  readonly arguments: string | null;
}

/** A tool result that a request carries, and the calls of the conversation it may belong to. */
export interface ResultClaim {
  /** A legacy result names no call, only a function. */
  readonly by: "id" | "name";
  /** The id, or the name. */
  readonly id: string;
  readonly calls: readonly CallClaim[];
}

/** `unknown`: no call of the key was recorded under this id or name. */
export type ClaimVerdict = "admitted" | "unknown" | "pending" | "denied" | "altered" | "expired";

export interface CheckAnswer {
  /** One for each claim, in their order. */
  readonly verdicts: readonly ClaimVerdict[];
  /**
   * For each claim: the recorded call that it was held against because its name and arguments are the same, though its id
   * is another; `null` where it was held against none but its own. A record of an older release does not say.
   */
  readonly recorded?: readonly (string | null)[];
  /** How long (ms) the caller may assume that the key has no recorded calls. 0: ask every time. */
  readonly noneForMs: number;
  /** Are calls of the key on record? A record of an older release does not say. */
  readonly hasCalls?: boolean;
}

/** An approval as a list first sees it: long arguments are not in it. */
export interface ApprovalOutline {
  /** Without the arguments where they are long. */
  readonly approval: Approval;
  /** Characters of its arguments that are to be fetched; 0 where they are there. */
  readonly missing: number;
}

/** The contract's approval. */
export interface Approval {
  readonly tool_call_id: string;
  readonly name: string;
  /** Empty once they are no longer kept. */
  readonly arguments: string;
  readonly arguments_sha256: string;
  readonly status: ApprovalStatus;
  readonly key_id: string;
  readonly env: string;
  readonly app: string;
  readonly route: string;
  readonly trace_id: string;
  readonly created_at: string;
  readonly expires_at: string;
  readonly decided_by?: string;
  readonly decided_at?: string;
  readonly reason?: string;
}

export interface Decision {
  readonly id: string;
  readonly decision: "approve" | "deny";
  readonly reason: string | null;
  /** Who decides, as the approval shows it. */
  readonly by: string;
  /** Where the decider may decide; `null`: everywhere. */
  readonly within: { readonly env: string; readonly apps: readonly string[] | null } | null;
}

export type DecideAnswer =
  | { readonly ok: true; readonly approval: Approval }
  | { readonly ok: false; readonly reason: "not_found" }
  | { readonly ok: false; readonly reason: "decided" | "expired"; readonly approval: Approval };

/** What the control plane learns of a call that somebody has to decide. Repeatable: a decision is final. */
export interface ApprovalNote {
  readonly toolCallId: string;
  readonly keyId: string;
  readonly env: string;
  readonly app: string;
  /** Members of the call. Absent from objects of earlier releases. */
  readonly name?: string;
  readonly route?: string;
  readonly traceId?: string;
  readonly status: Verdict;
  readonly sha256: string;
  /** Epoch ms. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly decidedBy: string | null;
  readonly decidedAt: number | null;
  readonly reason: string | null;
}
