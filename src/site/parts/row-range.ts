/** Which rows of a long table are near the reader's view: for the directory and for the console's tables. */

/** Rows above and below the view, so that a flick shows rows and no gap. */
const MARGIN = 6;

/** After a scroll, when the browser has laid out what came: places are measured then. */
export const REST_MS = 150;

export interface RowRange {
  readonly first: number;
  /** Not included. */
  readonly end: number;
}

/** Lengths in px. */
export interface Scrolled {
  /** From the top of the first row to the top of the view; negative while the table begins below it. */
  readonly passed: number;
  readonly view: number;
  readonly row: number;
}

/** The range moves by whole steps: a scroll within one changes nothing. */
export function rowsNear({ passed, view, row }: Scrolled, step: number): RowRange {
  return {
    first: Math.max(0, Math.floor((passed / row - MARGIN) / step) * step),
    end: Math.ceil(((passed + view) / row + MARGIN) / step) * step,
  };
}

/** The range in a table of `count` rows: at least one step of them, wherever the view is. */
export function within({ first, end }: RowRange, count: number, step: number): RowRange {
  const start = Math.min(first, Math.max(0, count - step));
  return { first: start, end: Math.min(count, Math.max(end, start + step)) };
}

interface Measurable {
  getBoundingClientRect(): { readonly top: number; readonly bottom: number };
}

/** Measured over many rows, because the screen rounds the height of one. `null` where none is laid out. */
export function rowHeight(rows: readonly Measurable[]): number | null {
  const [first, last] = [rows[0]?.getBoundingClientRect(), rows.at(-1)?.getBoundingClientRect()];
  if (first === undefined || last === undefined || last.bottom <= first.top) return null;
  return (last.bottom - first.top) / rows.length;
}
