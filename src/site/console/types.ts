/** What the control plane answers, as far as the console shows it. Members may be missing: an older Worker may answer. */

export interface Attempt {
  readonly provider: string;
  readonly model: string;
  readonly credential?: number | null;
  readonly outcome: string;
  readonly status: number | null;
  readonly started_ms: number;
  readonly first_token_ms: number | null;
  readonly duration_ms: number;
  readonly hedged: boolean;
  readonly winner: boolean;
  readonly cost_usd: number | null;
  readonly provider_code?: string | null;
  readonly provider_message?: string | null;
  readonly provider_request_id?: string | null;
}

export interface Skipped {
  readonly provider: string;
  readonly model: string;
  readonly reason: string;
  readonly detail?: string;
}

export interface Trace {
  readonly id: string;
  readonly created_at: string;
  readonly api?: string;
  readonly key_id: string;
  readonly env: string;
  readonly app: string;
  readonly route: string | null;
  readonly route_version: number | null;
  readonly stream: boolean;
  readonly status: string;
  readonly http_status: number;
  readonly error_code?: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly fallback: boolean;
  readonly fallback_reason?: string | null;
  readonly affinity?: string;
  readonly attempts: readonly Attempt[];
  readonly skipped?: readonly Skipped[];
  readonly latency: {
    readonly first_token_ms: number | null;
    readonly total_ms: number | null;
    readonly budget_ms?: number | null;
    readonly budget_met?: boolean | null;
    readonly approval_wait_ms?: number | null;
  };
  readonly usage: Readonly<Record<string, number | string>>;
  readonly output_cap?: number;
  readonly cost_usd: number | null;
  readonly cost_parts?: readonly { readonly kind: string; readonly tokens?: number; readonly usd: number }[];
  readonly repriced_usd?: number;
  readonly tool_calls?: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
  readonly session_id?: string | null;
  readonly agent_id?: string | null;
  readonly client_request_id?: string | null;
}

export interface Target {
  readonly provider: string;
  readonly model: string;
}

export interface Route {
  readonly env: string;
  readonly name: string;
  readonly version: number;
  readonly active: boolean;
  readonly policy: { readonly targets?: readonly Target[] } & Readonly<Record<string, unknown>>;
  readonly created_at: string;
  readonly actor: string;
  readonly warnings?: readonly (string | { readonly message: string; readonly path?: string })[];
}

export interface Key {
  readonly id: string;
  readonly name: string;
  readonly kind?: string;
  readonly env: string;
  readonly apps: readonly string[] | null;
  readonly routes?: readonly string[] | null;
  readonly scopes: readonly string[];
  readonly budget: { readonly limit_usd: number; readonly period: string; readonly time_zone?: string } | null;
  readonly limits: Readonly<Record<string, number>> | null;
  readonly status: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly spend?: {
    readonly period: string;
    readonly limit_usd: number | null;
    readonly spent_usd: number;
    readonly reserved_usd: number;
    readonly remaining_usd: number | null;
  };
}

export interface Approval {
  readonly tool_call_id: string;
  readonly name: string;
  readonly arguments: string | null;
  readonly status: string;
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

export interface Gate {
  readonly name: string;
  readonly wanted: number;
  readonly measured: number | null;
  readonly passed: boolean;
}

export interface StatsRow {
  readonly start: string;
  readonly group: Readonly<Record<string, string>>;
  readonly requests: number;
  readonly errors: number;
  readonly refused: number;
  readonly fallbacks: number;
  readonly hedges: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly output_tokens_per_second: number | null;
  readonly cost_usd: number | null;
  readonly first_token_ms: { readonly p50: number | null; readonly p95: number | null };
  readonly total_ms: { readonly p50: number | null; readonly p95: number | null };
}

export interface SpendRow {
  readonly start?: string;
  readonly group: Readonly<Record<string, string>>;
  readonly names?: Readonly<Record<string, string>>;
  readonly requests: number;
  readonly unpriced_requests: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly cost_usd: number | null;
  readonly adjustment_usd: number;
}
