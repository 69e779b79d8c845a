/** One table for all lists. Its caption is the page's name, so that a reader who hears the page knows where they are. */
import { type Child, useEffect, useRef, useState } from "hono/jsx/dom";
import type { Loaded } from "../load.ts";
import { Empty } from "./notice.tsx";
import { useRowWindow } from "./window.ts";

export interface Column<Row> {
  readonly name: string;
  readonly show: (row: Row) => Child;
  /** What the column sorts by; without it, it does not sort. */
  readonly by?: (row: Row) => number | string | null;
  /** Figures stand at the right. */
  readonly numeric?: boolean;
  /** Ids, names of models, code: in the typeface of code. */
  readonly isCode?: boolean;
}

interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

function sorted<Row>(rows: readonly Row[], column: Column<Row> | undefined, descending: boolean): readonly Row[] {
  const by = column?.by;
  if (by === undefined) return rows;
  return rows.toSorted((left, right) => {
    const [a, b] = [by(left), by(right)];
    if (a === b) return 0;
    // What is unknown stands last, whichever way the column is sorted.
    if (a === null) return 1;
    if (b === null) return -1;
    return (a < b ? -1 : 1) * (descending ? -1 : 1);
  });
}

const classOf = <Row,>({ numeric, isCode }: Column<Row>): string | undefined =>
  [numeric === true ? "num" : "", isCode === true ? "mono" : ""].join(" ").trim() || undefined;

export function Table<Row>(props: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  empty: Child;
  isVisibleCaption?: boolean;
  /** What the rows come from: while nothing was read, the table is not said to be empty. */
  of?: Loaded<unknown>;
  /** Rows are one line each, so that a long list needs only those in view. */
  isDense?: boolean;
  /** On a narrow screen each row is a card, with the names of columns before their values. */
  isStacked?: boolean;
  /** Called when the end of the table comes into view. */
  onEnd?: (() => void) | undefined;
}) {
  const { caption, columns, rows, keyOf, empty, onEnd } = props;
  const { of, isVisibleCaption = false, isDense = false, isStacked = false } = props;
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const all = sorted(
    rows,
    columns.find(({ name }) => name === sorting?.column),
    sorting?.descending ?? false,
  );
  const view = useRowWindow(isDense ? all.length : 0, columns.map(({ name }) => name).join());
  const shown = view.isWindowed ? all.slice(view.first, view.end) : all;
  const sort = (column: string): void =>
    setSorting((now) => ({ column, descending: now?.column === column ? !now.descending : true }));
  const kind = `scroll${isDense ? " dense" : ""}${isStacked ? " stacked" : ""}`;
  return (
    <section class={kind} aria-label={caption} tabindex={0}>
      <table aria-rowcount={view.isWindowed ? all.length + 1 : undefined}>
        <caption class={isVisibleCaption ? "shown" : "hidden"}>{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                scope="col"
                class={classOf({ ...column, isCode: false })}
                aria-sort={
                  column.by === undefined || sorting?.column !== column.name
                    ? undefined
                    : sorting.descending
                      ? "descending"
                      : "ascending"
                }
              >
                {column.by === undefined ? (
                  column.name === "" ? (
                    <span class="hidden">Actions</span>
                  ) : (
                    column.name
                  )
                ) : (
                  <button type="button" class="sort" onClick={() => sort(column.name)}>
                    {column.name}
                    <span aria-hidden="true">
                      {sorting?.column !== column.name ? "" : sorting.descending ? " ↓" : " ↑"}
                    </span>
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={view.body}>
          {view.above > 0 ? <Gap height={view.above} span={columns.length} key="above" /> : null}
          {shown.map((row, at) => (
            <tr
              key={view.isWindowed ? String(at) : keyOf(row)}
              data-row
              aria-rowindex={view.isWindowed ? view.first + at + 2 : undefined}
            >
              {columns.map((column) => (
                <td class={classOf(column)} data-label={isStacked ? column.name : undefined}>
                  {column.show(row)}
                </td>
              ))}
            </tr>
          ))}
          {view.below > 0 ? <Gap height={view.below} span={columns.length} key="below" /> : null}
        </tbody>
      </table>
      {rows.length > 0 ? null : (
        <Empty>
          {of === undefined || of.data !== null ? empty : of.error === null ? "Loading…" : "It was not read."}
        </Empty>
      )}
      {onEnd === undefined ? null : <End onSeen={onEnd} />}
    </section>
  );
}

/** Stands for the rows that are out of view, so that the scroll bar tells the truth. */
function Gap({ height, span }: { height: number; span: number }) {
  return (
    <tr class="gap">
      <td colSpan={span} style={{ height: `${height.toFixed(2)}px` }} />
    </tr>
  );
}

/** A line at the end of a table that notices while it is near the view. */
function End({ onSeen }: { onSeen: () => void }) {
  const element = useRef<HTMLDivElement>(null);
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    if (element.current === null) return;
    const watcher = new IntersectionObserver((entries) => setNear(entries.at(-1)?.isIntersecting === true), {
      rootMargin: "600px",
    });
    watcher.observe(element.current);
    return () => watcher.disconnect();
  }, []);
  // Asked at each render: what was asked while the last rows were on their way was not heard.
  useEffect(() => {
    if (isNear) onSeen();
  });
  return <div ref={element} class="end" />;
}
