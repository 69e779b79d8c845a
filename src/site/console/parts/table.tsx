/** One table for all lists. Its caption is the page's name, so that a reader who hears the page knows where they are. */
import { type Child, useState } from "hono/jsx/dom";
import { Empty } from "./notice.tsx";

export interface Column<Row> {
  readonly name: string;
  readonly show: (row: Row) => Child;
  /** What the column sorts by; without it, it does not sort. */
  readonly by?: (row: Row) => number | string | null;
  /** Figures stand at the right. */
  readonly numeric?: boolean;
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

export function Table<Row>(props: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  empty: Child;
  isVisibleCaption?: boolean;
}) {
  const { caption, columns, rows, keyOf, empty, isVisibleCaption = false } = props;
  const [sorting, setSorting] = useState<Sorting | null>(null);
  const shown = sorted(
    rows,
    columns.find(({ name }) => name === sorting?.column),
    sorting?.descending ?? false,
  );
  const sort = (column: string): void =>
    setSorting((now) => ({ column, descending: now?.column === column ? !now.descending : true }));
  return (
    <section class="scroll" aria-label={caption} tabindex={0}>
      <table>
        <caption class={isVisibleCaption ? "" : "hidden"}>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, by, numeric }) => (
              <th
                scope="col"
                class={numeric === true ? "num" : ""}
                aria-sort={sorting?.column !== name ? "none" : sorting.descending ? "descending" : "ascending"}
              >
                {by === undefined ? (
                  name
                ) : (
                  <button type="button" class="sort" onClick={() => sort(name)}>
                    {name}
                    <span aria-hidden="true">{sorting?.column !== name ? "" : sorting.descending ? " ↓" : " ↑"}</span>
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ show, numeric }) => (
                <td class={numeric === true ? "num" : ""}>{show(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 ? <Empty>{empty}</Empty> : null}
    </section>
  );
}
