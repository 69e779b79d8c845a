/** Events that operators hear of while they look elsewhere. No event holds a prompt, an answer or an argument. */

export const EVENT_TYPES = [
  ...(["approval.pending", "budget.threshold", "breaker.opened", "breaker.closed"] as const),
  ...(["route.published", "route.promoted", "key.expiring", "price.ending"] as const),
] as const;
export type EventType = (typeof EVENT_TYPES)[number];
/** Sent on demand, to the one webhook. */
export const TEST_EVENT = "webhook.test";

export type EventData = Readonly<Record<string, string | number | null | readonly string[]>>;

/** A budget passed a part of its limit. Repeatable: each percent of each period is an event once. */
export interface BudgetThreshold {
  /** One of the two. */
  readonly keyId?: string;
  readonly budget?: string;
  readonly percent: number;
  readonly spentUsd: number;
  readonly limitUsd: number;
  /** Epoch ms; `null`: it never began, or never ends. */
  readonly periodStart: number | null;
  readonly resetsAt: number | null;
}

const THRESHOLDS = [50, 80, 100] as const;

/** The thresholds that `spent` of `limit` has reached. */
export function reached(spent: number, limit: number): readonly number[] {
  return THRESHOLDS.filter((percent) => spent * 100 >= limit * percent);
}

/** As operators see it. */
export interface Webhook {
  readonly id: string;
  readonly url: string;
  readonly events: readonly EventType[];
  readonly created_at: string;
  /** ISO 8601; `null`: it is on. After five days of nothing but failures it is off, until it is put again. */
  readonly disabled_at: string | null;
  /** When the secret before it stops signing; `null`: there is none. */
  readonly previous_secret_until: string | null;
}

export interface Delivery {
  readonly message_id: string;
  readonly type: string;
  readonly created_at: string;
  readonly status: "waiting" | "delivered" | "failed";
  readonly tries: number;
  readonly last_tried_at: string | null;
  /** HTTP status of the last try; `null`: no answer. */
  readonly last_status: number | null;
  readonly next_try_at: string | null;
}

export interface WebhookRequest {
  readonly url: string;
  readonly events: readonly EventType[];
}
