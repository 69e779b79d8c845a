/** What crosses the RPC boundary of the control plane. Plain data; refusals are members of a union, never errors. */
import type { ModelFacts } from "../catalog/facts.ts";
import type { PublicKey } from "../keys/record.ts";
import type { RoutePolicy, RouteRecord } from "../policy/schema.ts";

export interface Page<T> {
  readonly data: T[];
  /** Hand it back to get the next page; `null` on the last one. */
  readonly nextCursor: number | null;
}

/** `token` is the secret: shown to the operator once, kept nowhere. */
export type CreateKeyResult =
  | { readonly ok: true; readonly key: PublicKey; readonly token: string }
  | { readonly ok: false; readonly reason: "pepper_missing" };

export type RevokeKeyResult =
  | { readonly ok: true; readonly key: PublicKey }
  | { readonly ok: false; readonly reason: "not_found" };

export interface RouteChange {
  readonly env: string;
  readonly name: string;
  readonly policy: RoutePolicy;
  /** Facts of the policy's targets, in their order. */
  readonly facts: ModelFacts[];
  /** The active version the operator has seen, in decimal, or `*`. */
  readonly ifMatch?: string;
  /** Why a policy that requires promotion is changed without one. Kept in the audit log. */
  readonly forceReason?: string;
}

export interface RouteVersion {
  readonly record: RouteRecord;
  readonly active: boolean;
}

export type PutRouteResult =
  | { readonly ok: true; readonly route: RouteVersion }
  /** `activeVersion` is 0 when there is none. */
  | { readonly ok: false; readonly reason: "version_mismatch"; readonly activeVersion: number }
  | { readonly ok: false; readonly reason: "promotion_required" | "policy_too_large" | "environment_full" };

export interface AuditEntry {
  readonly seq: number;
  /** ISO 8601 UTC. */
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  /** SHA-256 of the stored document, `null` where there was or is none. */
  readonly before: string | null;
  readonly after: string | null;
  readonly reason: string | null;
}

/** What a target's shared breaker became. Repeatable: of two changes of one target the one with the later `at` counts. */
export interface TargetHealthChange {
  /** `<provider>/<model>`. */
  readonly target: string;
  /** `false`: closed. A breaker whose time is up and that waits for its probe is still open. */
  readonly isOpen: boolean;
  /** Epoch ms at which a probe may pass. Means nothing while closed. */
  readonly openUntil: number;
  /** Epoch ms at which the breaker changed, by the clock of the target's own object. */
  readonly at: number;
}

/** A target of the deployment, and why it is one. */
export interface TargetUse {
  readonly provider: string;
  readonly model: string;
  /** `<env>/<name>` of every active route that names it, in order. Empty: only its open breaker is known. */
  readonly routes: readonly string[];
}
