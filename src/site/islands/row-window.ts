/** Keeps those rows of a long table in the document that are near the reader's view. */
import { REST_MS, rowHeight, rowsNear, within } from "../parts/row-range.ts";

/** Fewer rows are all in the document: a browser's own search finds them. */
const WINDOWED_FROM = 80;
const STEP = 5;
const FIRST_GUESS_PX = 34;

export class RowWindow<Row> {
  readonly #body: HTMLTableSectionElement;
  readonly #element: (row: Row) => HTMLTableRowElement;
  readonly #above: HTMLTableCellElement;
  readonly #below: HTMLTableCellElement;
  #rows: readonly Row[] = [];
  #first = 0;
  #end = 0;
  #height = FIRST_GUESS_PX;
  #top = 0;
  #frame = 0;
  #timer = 0;

  /** @param element makes a row's element ready; called each time that it comes into view */
  constructor(body: HTMLTableSectionElement, element: (row: Row) => HTMLTableRowElement, columns: number) {
    this.#body = body;
    this.#element = element;
    const gap = (): HTMLTableCellElement => {
      const cell = document.createElement("tr").insertCell();
      cell.colSpan = columns;
      cell.className = "gap";
      return cell;
    };
    [this.#above, this.#below] = [gap(), gap()];
    const moved = (): void => {
      if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#look());
    };
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", () => this.measure());
    addEventListener("scrollend", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.measure(), REST_MS) as unknown as number;
    });
  }

  show(rows: readonly Row[]): void {
    this.#rows = rows;
    this.#end = -1;
    this.#look();
  }

  /** The same rows, made ready again. */
  again(): void {
    this.show(this.#rows);
  }

  /** Heights and places as they are now: asking for them makes the browser lay the page out. */
  measure(): void {
    const rows = [...this.#body.rows].filter((row) => row.cells[0]?.className !== "gap");
    this.#height = rowHeight(rows) ?? this.#height;
    this.#top = this.#body.getBoundingClientRect().top + scrollY;
    this.#look();
  }

  #look(): void {
    this.#frame = 0;
    const total = this.#rows.length;
    let [first, end] = [0, total];
    if (total > WINDOWED_FROM) {
      if (this.#top === 0) this.#top = this.#body.getBoundingClientRect().top + scrollY;
      const scrolled = { passed: scrollY - this.#top, view: innerHeight, row: this.#height };
      ({ first, end } = within(rowsNear(scrolled, STEP), total, STEP));
    }
    if (first === this.#first && end === this.#end) return;
    [this.#first, this.#end] = [first, end];
    this.#above.style.height = `${(first * this.#height).toFixed(2)}px`;
    this.#below.style.height = `${((total - end) * this.#height).toFixed(2)}px`;
    const shown: (Element | null)[] = this.#rows.slice(first, end).map((row) => this.#element(row));
    if (first > 0) shown.unshift(this.#above.parentElement);
    if (end < total) shown.push(this.#below.parentElement);
    this.#body.replaceChildren(...shown.filter((each) => each !== null));
  }
}
