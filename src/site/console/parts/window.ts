/** Which rows of a long table are near the reader's view: only those are in the document. */
import { useEffect, useRef, useState } from "hono/jsx/dom";

/** Fewer rows are all in the document: a browser's own search finds them. */
const WINDOWED_FROM = 200;
/** Rows above and below the view, so that a flick shows rows and no gap. */
const MARGIN = 6;
/** The window moves by whole steps: a scroll within one changes nothing. */
const STEP = 8;
/** After a scroll, when the browser has laid out what came. */
const REST_MS = 150;
const FIRST_GUESS_PX = 28;

interface Range {
  readonly first: number;
  /** Not included. */
  readonly end: number;
}

export interface RowWindow extends Range {
  readonly isWindowed: boolean;
  /** Height of what is left out, in px. */
  readonly above: number;
  readonly below: number;
  readonly body: { current: HTMLTableSectionElement | null };
}

/** Columns keep the widths that the first rows gave them: a layout for each window takes long, and jumps. */
function freezeColumns(body: HTMLTableSectionElement): void {
  const table = body.closest("table");
  if (table === null || table.style.tableLayout === "fixed") return;
  const headings = [...(table.tHead?.rows[0]?.cells ?? [])];
  const widths = headings.map((heading) => heading.offsetWidth);
  for (const [at, heading] of headings.entries()) heading.style.width = `${widths[at]}px`;
  table.style.minWidth = `${table.offsetWidth}px`;
  table.style.tableLayout = "fixed";
}

function thawColumns(body: HTMLTableSectionElement | null): void {
  const table = body?.closest("table") ?? null;
  if (table === null) return;
  table.style.tableLayout = "";
  table.style.minWidth = "";
  for (const heading of table.tHead?.rows[0]?.cells ?? []) heading.style.width = "";
}

/** Rows of one line each have one height, which is measured on the first of them. `columns` names those shown. */
export function useRowWindow(count: number, columns: string): RowWindow {
  const body = useRef<HTMLTableSectionElement>(null);
  const height = useRef(FIRST_GUESS_PX);
  const isWindowed = count > WINDOWED_FROM;
  const [range, setRange] = useState<Range>({ first: 0, end: WINDOWED_FROM / 2 });
  useEffect(() => {
    if (!isWindowed) return;
    let frame = 0;
    // Asking where the table is makes the browser lay it out, so that is done when a scroll has ended.
    let top = 0;
    let view = innerHeight;
    const look = (): void => {
      frame = 0;
      const px = height.current ?? FIRST_GUESS_PX;
      const passed = (scrollY - top) / px;
      const first = Math.max(0, Math.floor((passed - MARGIN) / STEP) * STEP);
      const end = Math.min(count, Math.ceil((passed + view / px + MARGIN) / STEP) * STEP);
      setRange((now) => (now.first === first && now.end === end ? now : { first, end }));
    };
    const measure = (): void => {
      const element = body.current;
      if (element === null) return;
      top = element.getBoundingClientRect().top + scrollY;
      view = innerHeight;
      const rows = element.querySelectorAll("tr[data-row]");
      const [first, last] = [rows[0]?.getBoundingClientRect(), rows[rows.length - 1]?.getBoundingClientRect()];
      // Measured over many rows, because the screen rounds the height of one.
      if (first !== undefined && last !== undefined && last.bottom > first.top) {
        height.current = (last.bottom - first.top) / rows.length;
      }
      look();
    };
    let timer = 0;
    const rested = (): void => {
      clearTimeout(timer);
      timer = setTimeout(measure, REST_MS) as unknown as number;
    };
    const moved = (): void => {
      if (frame === 0) frame = requestAnimationFrame(look);
    };
    const resized = (): void => {
      thawColumns(body.current);
      if (body.current !== null) freezeColumns(body.current);
      measure();
    };
    resized();
    addEventListener("scroll", moved, { passive: true });
    addEventListener("scrollend", rested);
    addEventListener("resize", resized);
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      removeEventListener("scroll", moved);
      removeEventListener("scrollend", rested);
      removeEventListener("resize", resized);
      thawColumns(body.current);
    };
  }, [count, isWindowed, columns]);
  const first = isWindowed ? Math.min(range.first, Math.max(0, count - STEP)) : 0;
  const end = isWindowed ? Math.min(count, Math.max(range.end, first + STEP)) : count;
  const px = height.current ?? FIRST_GUESS_PX;
  return { first, end, isWindowed, above: first * px, below: (count - end) * px, body };
}
