/** Draws with uPlot. A module of its own, because most of the first view needs no chart. */
import uPlot from "uplot";
import type { Mark, Series } from "./chart.tsx";

interface Drawing {
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number | null) => string;
  readonly marks: readonly Mark[];
  readonly height: number;
}

const MARK_WIDTH = 1;

const colourOf = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Draws into `element`; the answer takes it away again. */
export function plot(element: HTMLElement, { times, series, format, marks, height }: Drawing): () => void {
  const line = colourOf("line");
  const ink = colourOf("ink-2");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
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
    // One point alone would be drawn in a range of years.
    scales: {
      x: { range: (_chart, low, high) => (low === high ? [low - 43_200, high + 43_200] : [low, high]) },
      y: { range: (_chart, _low, high) => [0, high <= 0 ? 1 : high * 1.1] },
    },
    axes: [axis, { ...axis, size: 64, values: (_chart, values) => values.map((value) => format(value)) }],
    series: [
      {},
      ...series.map(({ name, colour }) => ({
        label: name,
        stroke: colourOf(colour),
        width: 1.5,
        points: { show: times.length < 40, size: 4 },
      })),
    ],
    hooks: { draw: [drawMarks] },
  };
  const data: uPlot.AlignedData = [times.map((time) => time / 1000), ...series.map(({ values }) => [...values])];
  const chart = new uPlot(options, data, element);
  const watcher = new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 200), height }));
  watcher.observe(element);
  return () => {
    watcher.disconnect();
    chart.destroy();
  };
}
