/** Which rows of a long table are near the reader's view: only those are in the document. */
import { useEffect, useRef, useState } from "hono/jsx/dom";
import { REST_MS, type RowRange, rowHeight, rowsNear, within } from "../../parts/row-range.ts";

/** Fewer rows are all in the document: a browser's own search finds them. */
const WINDOWED_FROM = 200;
const STEP = 8;
const FIRST_GUESS_PX = 28;

export interface RowWindow extends RowRange {
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
  const [range, setRange] = useState<RowRange>({ first: 0, end: WINDOWED_FROM / 2 });
  useEffect(() => {
    if (!isWindowed) return;
    let frame = 0;
    // Asking where the table is makes the browser lay it out, so that is done when a scroll has ended.
    let top = 0;
    let view = innerHeight;
    const look = (): void => {
      frame = 0;
      const px = height.current ?? FIRST_GUESS_PX;
      const near = within(rowsNear({ passed: scrollY - top, view, row: px }, STEP), count, STEP);
      setRange((now) => (now.first === near.first && now.end === near.end ? now : near));
    };
    const measure = (): void => {
      const element = body.current;
      if (element === null) return;
      top = element.getBoundingClientRect().top + scrollY;
      view = innerHeight;
      height.current = rowHeight([...element.querySelectorAll("tr[data-row]")]) ?? height.current;
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
  // The list may have become shorter since the last look.
  const { first, end } = isWindowed ? within(range, count, STEP) : { first: 0, end: count };
  const px = height.current ?? FIRST_GUESS_PX;
  return { first, end, isWindowed, above: first * px, below: (count - end) * px, body };
}
