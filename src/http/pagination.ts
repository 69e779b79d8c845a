/** The contract's lists: `limit` and `cursor` in, newest first and `next_cursor` out. */
import { RouterError } from "./errors.ts";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;
/** Fifteen digits stay exact as a number. */
const ROW_NUMBER = /^[1-9][0-9]{0,14}$/;
const WHOLE_NUMBER = /^[1-9][0-9]*$/;

/** `limit` of a list call, clamped to 1000; 50 when absent. Throws 400. */
export function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  if (WHOLE_NUMBER.test(text)) return Math.min(MAX_LIMIT, Number(text));
  throw new RouterError("invalid_request", "`limit` must be a whole number from 1 to 1000.", { param: "limit" });
}

export function badCursor(): RouterError {
  const message = "`cursor` must be the `next_cursor` of an earlier answer.";
  return new RouterError("invalid_request", message, { param: "cursor" });
}

/** A cursor of the control plane: the number of a row; `null` without one. Throws 400. */
export function readRowCursor(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!ROW_NUMBER.test(text)) throw badCursor();
  return Number(text);
}

/** Epoch ms of an ISO 8601 time in the query parameter `name`. Throws 400. */
export function readTime(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [day = ""] = /^\d{4}-\d{2}-\d{2}(?=T|$)/.exec(text) ?? [];
  const time = Date.parse(text);
  // What parses February 30 makes another day of it.
  if (day !== "" && Number.isFinite(time) && new Date(Date.parse(day)).toISOString().startsWith(day)) return time;
  const message = `\`${name}\` must be an ISO 8601 time such as 2026-11-22T12:00:00Z.`;
  throw new RouterError("invalid_request", message, { param: name });
}

export interface ListShape<T> {
  readonly object: "list";
  readonly data: readonly T[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

/** A page of the control plane in the contract's list shape. `nextCursor`: the number of the row to go on at. */
export function listBody<T, Out>(
  page: { readonly data: readonly T[]; readonly nextCursor: number | null },
  show: (item: T) => Out,
): ListShape<Out> {
  return toList(page.data.map(show), page.nextCursor === null ? null : String(page.nextCursor));
}

/** Where a table in CSV goes on, which has no place for it. */
export function cursorHeader(next: string | null): Record<string, string> {
  return next === null ? {} : { "x-flowlayer-next-cursor": next };
}

export function toList<T>(data: readonly T[], nextCursor: string | null): ListShape<T> {
  return { object: "list", data, has_more: nextCursor !== null, next_cursor: nextCursor };
}
