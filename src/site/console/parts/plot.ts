/** Draws with uPlot. A module of its own, because most of the first view needs no chart. */
import uPlot from "uplot";
import type { Mark, Series } from "./chart.tsx";

interface Drawing {
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number | null) => string;
  readonly marks: readonly Mark[];
  readonly height: number;
  /** Bars for what is counted, lines for what is measured. */
  readonly isBars: boolean;
}

const MARK_WIDTH = 1;

const colourOf = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const DAY_MS = 86_400_000;

/** UTC, and as long as the distance of two values asks for: `14:05`, `11-30`. */
function timeText(at: number, widthMs: number): string {
  const iso = new Date(at).toISOString();
  return widthMs >= DAY_MS || iso.endsWith("T00:00:00.000Z") ? iso.slice(5, 10) : iso.slice(11, 16);
}

/** Draws into `element`; the answer takes it away again. */
export function plot(element: HTMLElement, { times, series, format, marks, height, isBars }: Drawing): () => void {
  const line = colourOf("line");
  const ink = colourOf("ink-2");
  const axis = {
    stroke: ink,
    font: `11px ${colourOf("mono")}`,
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
  };
  const width = times.length > 1 ? (times[1] ?? 0) - (times[0] ?? 0) : DAY_MS;
  const drawMarks = (chart: uPlot): void => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = colourOf("held");
    ctx.lineWidth = MARK_WIDTH * devicePixelRatio;
    ctx.setLineDash([4, 4]);
    for (const { at } of marks) {
      const x = chart.valToPos(at / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
  const options: uPlot.Options = {
    width: Math.max(element.clientWidth, 200),
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    // From the times themselves: one point alone would be drawn in a range of years.
    scales: {
      x: { range: () => [((times[0] ?? 0) - width / 2) / 1000, ((times.at(-1) ?? 0) + width / 2) / 1000] },
      y: { range: (_chart, _low, high) => [0, high == null || high <= 0 ? 1 : high * 1.1] },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: 64,
        values: (_chart, values) => values.map((value) => timeText(value * 1000, width)),
        grid: { show: false },
      },
      { ...axis, size: 60, space: 36, values: (_chart, values) => values.map((value) => format(value)) },
    ],
    series: [
      {},
      ...series.map(({ name, colour }) => ({
        label: name,
        stroke: colourOf(colour),
        width: isBars ? 0 : 1.5,
        points: { show: !isBars && times.length < 40, size: 4 },
        spanGaps: false,
        ...(isBars && uPlot.paths.bars !== undefined
          ? { fill: colourOf(colour), paths: uPlot.paths.bars({ size: [0.7, 48], gap: 1 }) }
          : {}),
      })),
    ],
    hooks: { draw: [drawMarks] },
  };
  const data: uPlot.AlignedData = [times.map((time) => time / 1000), ...series.map(({ values }) => [...values])];
  element.replaceChildren();
  const startedAt = performance.now();
  const chart = new uPlot(options, data, element);
  performance.measure("chart", { start: startedAt });
  const watcher = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 200), height }));
  watcher.observe(element);
  return () => {
    watcher.disconnect();
    chart.destroy();
  };
}
