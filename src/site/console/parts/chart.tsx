/** A time series, with the table behind it. The chart library is fetched when the first chart is drawn. */
import { useEffect, useRef } from "hono/jsx/dom";
import { Table } from "./table.tsx";

export interface Series {
  readonly name: string;
  /** A name of a colour of the style sheet, without its dashes. */
  readonly colour: "accent" | "ok" | "slow" | "failed" | "held";
  readonly values: readonly (number | null)[];
}

export interface Mark {
  /** Epoch ms. */
  readonly at: number;
  readonly text: string;
}

const HEIGHT = 168;

export function Chart(props: {
  title: string;
  /** Epoch ms of each value. */
  times: readonly number[];
  series: readonly Series[];
  format: (value: number | null) => string;
  marks?: readonly Mark[];
  isBars?: boolean;
}) {
  const { title, times, series, format, marks = [], isBars = false } = props;
  const place = useRef<HTMLDivElement>(null);
  const drawn = JSON.stringify([times, series, marks]);
  useEffect(() => {
    const element = place.current;
    if (element === null || times.length === 0) return;
    let end = (): void => {};
    let isOver = false;
    void import("./plot.ts").then(({ plot }) => {
      if (!isOver) end = plot(element, { times, series, format, marks, height: HEIGHT, isBars });
    });
    return () => {
      isOver = true;
      end();
    };
  }, [drawn]);
  const rows = times.map((time, at) => ({ time, values: series.map(({ values }) => values[at] ?? null) }));
  return (
    <figure class="chart">
      <figcaption>
        {title}
        <span class="legend">
          {series.map(({ name, colour }) => (
            <span class={`key ${colour}`}>{name}</span>
          ))}
          {marks.length === 0 ? null : <span class="key held">policy changed</span>}
        </span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${title}. The figures are in the table below.`} />
      {marks.length === 0 ? null : (
        <details>
          <summary>
            {marks.length} {marks.length === 1 ? "change" : "changes"} of policy
          </summary>
          <ul class="marks">
            {marks.map(({ at, text }) => (
              <li>
                <span class="mono">{new Date(at).toISOString().slice(5, 16).replace("T", " ")}</span> {text}
              </li>
            ))}
          </ul>
        </details>
      )}
      <details>
        <summary>Figures</summary>
        <Table
          caption={title}
          rows={rows.toReversed()}
          isDense
          keyOf={({ time }) => String(time)}
          empty="No figures."
          columns={[
            { name: "Time (UTC)", show: ({ time }) => new Date(time).toISOString().slice(0, 16).replace("T", " ") },
            ...series.map(({ name }, at) => ({
              name,
              numeric: true,
              show: ({ values }: (typeof rows)[number]) => format(values[at] ?? null),
            })),
          ]}
        />
      </details>
    </figure>
  );
}
