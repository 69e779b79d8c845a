/** Tables and records that fit the terminal. */
import { clip, displayWidth, pad, relativeTime, safe, usdText } from "./text.ts";

export type Colour = "red" | "green" | "yellow" | "dim";
const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, dim: 2 };

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => unknown;
  /** Never cut: an id that is to be copied. */
  readonly whole?: boolean;
  /** Left out where the table is too wide; the highest number goes first. */
  readonly spare?: number;
  /** How the value is shown. */
  readonly as?: "time" | "usd" | "ms";
  readonly colour?: (row: Row) => Colour | null;
}

export interface Look {
  /** Columns of the terminal; `null`: everything is shown whole. */
  readonly columns: number | null;
  readonly hasColour: boolean;
  /** Epoch ms, for relative times. */
  readonly now: number;
}

const GAP = 2;
const NARROWEST = 6;
const MAX_CELL_LENGTH = 400;

/** Columns under their titles; without rows only the text that says so. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], none: string, look: Look): string {
  if (rows.length === 0) return `${none}\n`;
  const cells = rows.map((row) => columns.map((column) => cellOf(column, row, look)));
  const natural = columns.map((column, at) =>
    Math.max(displayWidth(column.title), ...cells.map((line) => displayWidth(line[at] ?? ""))),
  );
  const widths = look.columns === null ? natural : fitted(columns, natural, look.columns);
  const line = (texts: readonly string[], row: Row | null): string => {
    const parts = columns.flatMap((column, at) => {
      const width = widths[at] ?? 0;
      if (width === 0) return [];
      const text = pad(clip(texts[at] ?? "", width), width);
      const colour = row === null ? null : (column.colour?.(row) ?? null);
      return [colour === null || !look.hasColour ? text : paint(text, colour)];
    });
    return parts.join(" ".repeat(GAP)).trimEnd();
  };
  const titles = columns.map(({ title }) => title);
  return `${[line(titles, null), ...rows.map((row, at) => line(cells[at] ?? [], row))].join("\n")}\n`;
}

export const paint = (text: string, colour: Colour): string => `\u001b[${CODES[colour]}m${text}\u001b[0m`;

/** Widths that add up to the terminal's: spare columns go first, then the widest of those that may be cut shrinks. */
function fitted<Row>(columns: readonly Column<Row>[], natural: readonly number[], available: number): number[] {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + (width === 0 ? 0 : width + GAP), 0) - GAP;
  const spare = columns.map(({ spare: rank = 0 }, at) => ({ rank, at })).filter(({ rank }) => rank > 0);
  for (const { at } of spare.sort((left, right) => right.rank - left.rank)) {
    if (total() <= available) break;
    widths[at] = 0;
  }
  while (total() > available) {
    const shrinkable = widths.flatMap((width, at) =>
      isWhole(columns[at]) || width <= NARROWEST ? [] : [{ width, at }],
    );
    const widest = shrinkable.sort((left, right) => right.width - left.width)[0];
    if (widest === undefined) break;
    widths[widest.at] = Math.max(NARROWEST, widest.width - (total() - available));
  }
  return widths;
}

/** An id that is cut cannot be copied, and an amount that is cut is another amount. */
const isWhole = <Row>(column: Column<Row> | undefined): boolean => column?.whole === true || column?.as === "usd";

function cellOf<Row>({ value, as }: Column<Row>, row: Row, look: Look): string {
  const found = value(row);
  if (as === "time") return relativeTime(found, look.now) ?? "-";
  if (as === "usd") return usdText(found) ?? "-";
  if (as === "ms") return typeof found === "number" ? msText(found) : "-";
  return cell(found);
}

const msText = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)}ms` : `${(ms / 1_000).toFixed(1)}s`);

/** One name and value per line; members that hold nothing are left out. */
export function record(members: readonly (readonly [string, unknown])[]): string {
  const filled = members.filter(([, value]) => value !== undefined);
  const width = Math.max(...filled.map(([name]) => name.length));
  return filled.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}\n`).join("");
}

export function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.map(cell).join(",");
  if (typeof value === "object") {
    const members = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
    return members.length === 0 ? "-" : members.map(([name, each]) => `${safe(name)} ${cell(each)}`).join(", ");
  }
  const text = safe(String(value));
  return text.length > MAX_CELL_LENGTH ? `${text.slice(0, MAX_CELL_LENGTH)}…` : text;
}
