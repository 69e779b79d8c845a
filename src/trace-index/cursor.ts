/** Where a page of the trail ended, as text that means nothing to its reader. */
import type { Position } from "./types.ts";

// Between two times there is no id.
const FORM = /^([0-9]{1,15})\.(tr_[0-9A-Za-z]{1,64}|)$/;

/** The list is sorted by position, so a page that starts behind one is the same whatever was inserted before it. */
export function encodeCursor({ createdAt, id }: Position): string {
  return btoa(`${createdAt}.${id}`).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** `null` for text that is no cursor of ours. */
export function decodeCursor(cursor: string): Position | null {
  if (!/^[0-9A-Za-z_-]{1,200}$/.test(cursor)) return null;
  let text: string;
  try {
    text = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return null;
  }
  const [, createdAt, id] = FORM.exec(text) ?? [];
  const position = createdAt === undefined || id === undefined ? null : { createdAt: Number(createdAt), id };
  return position !== null && encodeCursor(position) === cursor ? position : null;
}

/** Negative where `a` comes before `b` in the list: newest first, and of the same time the larger id first. */
export function comparePositions(a: Position, b: Position): number {
  return b.createdAt - a.createdAt || (a.id > b.id ? -1 : a.id < b.id ? 1 : 0);
}
