/** What crosses the RPC boundary of the control plane. Plain data; refusals are members of a union, never errors. */
import type { BudgetRecord } from "../budgets/record.ts";
import type { ModelFacts } from "../catalog/model-facts.ts";
import type { KeyRecord, OperatorKey } from "../keys/record.ts";
import type { RoutePolicy, RouteRecord } from "../policy/schema.ts";
import type { BookRow } from "../prices/book.ts";
import type { PriceRequest } from "../prices/request.ts";

export interface Page<T> {
  readonly data: T[];
  /** Hand it back to get the next page; `null` on the last one. */
  readonly nextCursor: number | null;
}

/** `token` is the secret: shown to the operator once, kept nowhere. */
export type CreateKeyResult =
  | { readonly ok: true; readonly key: OperatorKey; readonly token: string }
  | { readonly ok: false; readonly reason: "pepper_missing" | "unknown_environment" };

export type RevokeKeyResult =
  | { readonly ok: true; readonly key: OperatorKey }
  | { readonly ok: false; readonly reason: "not_found" };

/** What the key's ledger needs to know of its record. */
export type Terms = Pick<KeyRecord, "version" | "budget" | "limits"> & { readonly paused: boolean };

export type UpdateKeyResult =
  /** `terms` are for the key's ledger. */
  | { readonly ok: true; readonly key: OperatorKey; readonly terms: Terms }
  | { readonly ok: false; readonly reason: "not_found" | "revoked" };

/** `token` as in `CreateKeyResult`. */
export type RotateKeyResult =
  | {
      readonly ok: true;
      readonly token: string;
      /** ISO 8601 UTC. When the secret before it stops working. */
      readonly previousExpiresAt: string;
    }
  | { readonly ok: false; readonly reason: "not_found" | "revoked" | "expired" | "pepper_missing" | "built_in" };

/** Keys that pages run requests with. */
export type BuiltInKind = "console" | "docs";

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
  /** Why the guard of the active policy is weakened. Kept in the audit log. */
  readonly reason?: string;
  /** The environment may be one without keys or routes so far. */
  readonly mayBeNewEnvironment?: boolean;
}

export type GateName =
  | "min_requests"
  | "min_success_rate"
  | "min_success_lower_bound"
  | "max_p95_latency_ms"
  | "max_cost_usd_per_request";

export interface GateResult {
  readonly name: GateName;
  readonly wanted: number;
  /** `null`: nothing is known, which does not pass. */
  readonly measured: number | null;
  readonly passed: boolean;
}

/** What a promotion was decided on. */
export interface PromotionRecord {
  readonly gates: readonly GateResult[];
  /** The evidence as it was shown; `null` when no gate asked for it, or when it could not be read. */
  readonly evidence: object | null;
  /** A gate did not pass and an operator went past it. */
  readonly forced: boolean;
}

/** Where a version comes from that was not written by hand. */
export type VersionOrigin =
  | { readonly kind: "rollback"; readonly from: VersionName }
  | ({ readonly kind: "promotion"; readonly from: VersionName } & PromotionRecord);

export interface VersionName {
  readonly env: string;
  readonly version: number;
}

export interface RouteVersion {
  readonly record: RouteRecord;
  readonly active: boolean;
  readonly origin: (VersionOrigin & { readonly reason: string | null }) | null;
}

/** `activeVersion` is 0 when there is none. */
interface VersionMismatch {
  readonly ok: false;
  readonly reason: "version_mismatch";
  readonly activeVersion: number;
}

interface NoRoom {
  readonly ok: false;
  readonly reason: "policy_too_large" | "environment_full";
}

/** An alias of the policy is another route's, or equals a route's name. */
interface AliasTaken {
  readonly ok: false;
  readonly reason: "alias_taken";
  readonly alias: string;
  /** Name of the route that has it. */
  readonly route: string;
}

interface Published {
  readonly ok: true;
  readonly route: RouteVersion;
}

interface NotFound {
  readonly ok: false;
  readonly reason: "not_found";
}

export type PutRouteResult =
  | Published
  | VersionMismatch
  | NoRoom
  | AliasTaken
  | { readonly ok: false; readonly reason: "promotion_required" | "reason_required" | "unknown_environment" };

/** What a rollback would go back to. */
export type RollbackView =
  | {
      readonly ok: true;
      readonly old: RouteVersion;
      /** The active version it was found for; 0 for a deleted route. */
      readonly activeVersion: number;
    }
  | NotFound
  | { readonly ok: false; readonly reason: "no_earlier_version" | "already_active" };

export interface RouteRollback {
  readonly env: string;
  readonly name: string;
  /** The version that becomes the newest one. */
  readonly version: number;
  /** The active version that it was chosen for. */
  readonly activeVersion: number;
  readonly reason?: string | undefined;
  /** Facts of its targets as they are known today. */
  readonly facts: ModelFacts[];
  readonly ifMatch?: string;
}

export type RollbackResult =
  | Published
  | NotFound
  | VersionMismatch
  | NoRoom
  | AliasTaken
  | { readonly ok: false; readonly reason: "changed" };

export interface RouteDeletion {
  readonly env: string;
  readonly name: string;
  readonly ifMatch?: string;
  /** Why a route is deleted whose policy has a guard. Kept in the audit log. */
  readonly reason?: string;
}

export type DeleteRouteResult =
  | { readonly ok: true }
  | NotFound
  | VersionMismatch
  | { readonly ok: false; readonly reason: "reason_required" };

/** The two versions a promotion is about. */
export interface PromotionView {
  /** The active version where it comes from. */
  readonly candidate: RouteVersion | null;
  /** The newest version where it goes; not active when the route is deleted there. */
  readonly target: RouteVersion | null;
  /** The environment it goes to is there from the start, or has or had a key or a route. */
  readonly isKnownEnvironment: boolean;
}

export interface RoutePromotion {
  readonly name: string;
  readonly from: VersionName;
  /** Where it goes, and what was in force there: version 0 for nothing. */
  readonly to: VersionName & { readonly active: boolean };
  readonly facts: ModelFacts[];
  readonly reason?: string;
  readonly record: PromotionRecord;
}

export type PromoteRouteResult =
  | Published
  | NoRoom
  | AliasTaken
  /** One of the two routes is not as it was when it was decided. */
  | { readonly ok: false; readonly reason: "changed" };

export type PutBudgetResult =
  | { readonly ok: true; readonly record: BudgetRecord }
  | { readonly ok: false; readonly reason: "too_many" | "unknown_tag" }
  /** `at`: which of the scope's keys. */
  | { readonly ok: false; readonly reason: "unknown_key"; readonly at: number };
export type DeleteBudgetResult = { readonly ok: true; readonly version: number } | NotFound;

export type PutProviderResult = { readonly ok: true } | { readonly ok: false; readonly reason: "too_many" };
export type DeleteProviderResult =
  | { readonly ok: true }
  | NotFound
  /** `routes`: `<env>/<name>` of the active ones that name it. */
  | { readonly ok: false; readonly reason: "in_use"; readonly routes: readonly string[] };

export interface DisableChange {
  /** `<provider>` or `<provider>/<model>`. */
  readonly name: string;
  /** `null`: it may be called again. `until`: epoch ms, `null` for no end. */
  readonly disabled: { readonly reason: string; readonly until: number | null } | null;
  /** Why it is put back. */
  readonly reason?: string | undefined;
}

export interface MetricsView {
  readonly breakers: readonly { readonly provider: string; readonly model: string; readonly isOpen: boolean }[];
  /** Tool calls that wait, by environment. */
  readonly pending: Readonly<Record<string, number>>;
}

/** Out of every plan. Times are epoch ms. */
export interface DisabledTarget {
  readonly name: string;
  readonly reason: string;
  readonly until: number | null;
  readonly by: string;
  readonly at: number;
}

export interface AuditEntry {
  readonly seq: number;
  /** ISO 8601 UTC. */
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  /** The members that were changed, without secrets; `null` where there was no such object, or nothing was kept. */
  readonly before: object | null;
  readonly after: object | null;
  readonly reason: string | null;
  /** What the change was made on: present for a rollback, a promotion, and what was shown. */
  readonly detail: object | null;
  /** SHA-256 of the stored document, `null` where there was or is none. */
  readonly before_digest: string | null;
  readonly after_digest: string | null;
}

export interface AuditQuery {
  readonly limit: number;
  /** Only lines before this number. */
  readonly before: number | null;
  readonly actor?: string | undefined;
  /** An action, or the part before its dot. */
  readonly action?: string | undefined;
  /** An object as its line names it: kind and name, either alone, without a version for all of them. */
  readonly object?: string | undefined;
  /** Epoch ms, inclusive. */
  readonly since?: number | undefined;
  /** Epoch ms, exclusive. */
  readonly until?: number | undefined;
}

/** What a target's shared breaker became. Repeatable: of two changes of one target the one with the later `at` counts. */
export interface TargetHealthChange {
  /** `<provider>/<model>`. */
  readonly target: string;
  /** `false`: closed. A breaker whose time is up and that waits for its probe is still open. */
  readonly isOpen: boolean;
  /** Epoch ms at which a probe may pass. Means nothing while closed. */
  readonly openUntil: number;
  /** The only key that it is open for. Absent or `null`: open for all. */
  readonly openFor?: string | null | undefined;
  /** The class of the failure that opened it, where that is known. */
  readonly class?: string | undefined;
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

export interface PriceChange {
  readonly provider: string;
  readonly model: string;
  readonly request: PriceRequest;
  /** Epoch ms; `null`: from now on. */
  readonly validFrom: number | null;
  /** Epoch ms; `null`: until another one begins. */
  readonly validUntil: number | null;
}

/** A price that an operator set. */
export interface PriceEntry {
  readonly seq: number;
  readonly provider: string;
  readonly model: string;
  /** As it was asked for. */
  readonly members: PriceRequest;
  readonly row: BookRow;
  readonly updatedBy: string;
  /** ISO 8601 UTC. */
  readonly updatedAt: string;
}

export type PutPriceResult =
  | { readonly ok: true; readonly entry: PriceEntry }
  | { readonly ok: false; readonly reason: "too_many_models"; readonly most: number };

/** Settings of the deployment that operators change while it runs. */
export interface Settings {
  /** Names of the tags whose spend is summed. */
  readonly spend_tags: readonly string[];
}
export type PutSettingsResult = Settings;
