/** Search, filters, sorting, columns, comparison and costs of the model directory; the state is in the address. */
import { count, money } from "../parts/figures.ts";
import { HERE_COLUMNS, HERE_EVENT, type HereRow, type HereRows } from "../parts/here.ts";
import { RowWindow } from "./row-window.ts";

type Key =
  | "id"
  | "provider"
  | "input"
  | "output"
  | "cached"
  | "window"
  | "modalities"
  | "abilities"
  | "released"
  | "status";

interface Row extends Readonly<Record<Exclude<Key, Figure>, string>>, Readonly<Record<Figure, number | null>> {
  readonly name: string;
  /** All that the search looks through. */
  readonly text: string;
}

const FIGURES = ["input", "output", "cached", "window"] as const;
type Figure = (typeof FIGURES)[number];
const MAX_COMPARED = 4;
const form = document.querySelector<HTMLFormElement>("[data-filters]");
const table = document.querySelector<HTMLTableElement>("table.models");
const body = table?.tBodies[0];
const headRow = table?.tHead?.rows[0];
const shown = form?.elements.namedItem("shown") as HTMLOutputElement | null;
const compareArea = document.querySelector<HTMLElement>("[data-compare]");
const columnsArea = document.querySelector<HTMLElement>("[data-columns]");

/** Columns by their place, as the page has them. */
const KEYS = [...(headRow?.cells ?? [])].map((cell) => cell.dataset["sort"] as Key);

const figure = (text: string): number | null => {
  const plain = text.replaceAll(",", "");
  return plain === "–" || plain === "" ? null : Number(plain);
};

type Element = HTMLTableRowElement;

function read(element: Element): Row {
  const texts = Object.fromEntries([...element.cells].map((cell, at) => [KEYS[at], cell.textContent?.trim() ?? ""]));
  const figures = Object.fromEntries(FIGURES.map((name) => [name, figure(texts[name] ?? "")]));
  const words = [texts["id"], texts["provider"], texts["abilities"], texts["modalities"]];
  const name = `${texts["provider"]}/${texts["id"]}`;
  return { ...texts, ...figures, name, text: words.join(" ").toLowerCase() } as unknown as Row;
}

const elements: readonly Element[] = [...(body?.rows ?? [])];
const known = new Map<Element, Row>();

/** What a row of the page says. Read when it is needed: all of them at once take longer than a frame. */
function rowOf(element: Element): Row {
  const row = known.get(element) ?? read(element);
  known.set(element, row);
  return row;
}

const READ_AT_ONCE = 60;

/** Reads the rest while nothing else is to be done, so that the first search finds all of it read. */
function readAhead(start: number): void {
  for (const element of elements.slice(start, start + READ_AT_ONCE)) rowOf(element);
  if (start + READ_AT_ONCE < elements.length) later(() => readAhead(start + READ_AT_ONCE));
}

const later = (act: () => void): void => {
  if (typeof requestIdleCallback === "function") requestIdleCallback(act);
  else setTimeout(act, 20);
};

const parameters = new URLSearchParams(location.search);
const word = (name: string): string => parameters.get(name) ?? "";
const list = (name: string): string[] =>
  word(name)
    .split(",")
    .filter((each) => each !== "");
const number = (name: string, otherwise: number): number => {
  const value = Number(parameters.get(name) ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 ? value : otherwise;
};
const TEXTS = ["q", "provider", "can", "takes", "status"] as const;
const NUMBERS = { window: 0, input: Number.POSITIVE_INFINITY, in: 1_000, out: 500 } as const;
type NumberName = keyof typeof NUMBERS;
const NUMBER_NAMES = Object.keys(NUMBERS) as NumberName[];
const state = {
  texts: Object.fromEntries(TEXTS.map((name) => [name, word(name)])) as Record<(typeof TEXTS)[number], string>,
  numbers: Object.fromEntries(NUMBER_NAMES.map((name) => [name, number(name, NUMBERS[name])])) as Record<
    NumberName,
    number
  >,
  sort: word("sort"),
  compare: list("compare").slice(0, MAX_COMPARED),
  hidden: list("hide"),
  /** For operators: `configured` or `used`. */
  here: word("here"),
};

interface Here {
  readonly rows: HereRows;
  /** Ids of the providers that have their secrets. */
  readonly ids: ReadonlySet<string>;
}

/** What the deployment knows; `null` until it has said so, and for everybody who is not signed in. */
let here: Here | null = null;
const UNMEASURED: HereRow = { here: "", routes: "", p50: null, p95: null, speed: null, failed: null };

function hereOf({ name, provider }: Row): HereRow {
  const known = here?.rows.get(name) ?? UNMEASURED;
  return here?.ids.has(provider) === true ? { ...known, here: "yes" } : known;
}

function isHere(row: Row): boolean {
  if (here === null || state.here === "") return true;
  const known = hereOf(row);
  return state.here === "used" ? known.routes !== "" : known.here !== "";
}

const has = (listed: string, one: string): boolean => one === "" || listed.split(", ").includes(one);

function matches(row: Row, words: readonly string[]): boolean {
  const { texts, numbers } = state;
  return (
    words.every((each) => row.text.includes(each)) &&
    (texts.provider === "" || row.provider === texts.provider) &&
    has(row.abilities, texts.can) &&
    (texts.takes === "" || has(row.modalities.split(" → ")[0] ?? "", texts.takes)) &&
    (texts.status === "" || row.status === texts.status) &&
    isHere(row) &&
    (numbers.window === 0 || (row.window ?? 0) >= numbers.window) &&
    (numbers.input === Number.POSITIVE_INFINITY || (row.input ?? Number.POSITIVE_INFINITY) <= numbers.input)
  );
}

function isUnfiltered(): boolean {
  const { provider, can, takes, status } = state.texts;
  const { window, input } = state.numbers;
  return provider + can + takes + status + state.here === "" && window === 0 && input === Number.POSITIVE_INFINITY;
}

function costOf({ input, output }: Row): number | null {
  const { in: prompt, out } = state.numbers;
  return input === null || output === null ? null : (input * prompt + output * out) / 1_000_000;
}

const costText = (row: Row): string => costOf(row)?.toFixed(6) ?? "–";

function ordered(found: readonly Element[]): readonly Element[] {
  const descending = state.sort.startsWith("-");
  const key = descending ? state.sort.slice(1) : state.sort;
  if (!HEADINGS.has(key)) return found;
  const value = (row: Row) => {
    if (HERE_COLUMNS.some(([name]) => name === key)) return hereOf(row)[key as keyof HereRow] || null;
    return (key === "cost" ? costOf(row) : row[key as Key]) || null;
  };
  return found.toSorted((a, b) => {
    const [left, right] = [value(rowOf(a)), value(rowOf(b))];
    // What is unknown goes last, whichever way the column is sorted.
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
    const order = left < right ? -1 : left > right ? 1 : 0;
    return descending ? -order : order;
  });
}

function writeAddress(): void {
  const next = new URLSearchParams();
  for (const name of TEXTS) if (state.texts[name] !== "") next.set(name, state.texts[name]);
  for (const name of NUMBER_NAMES) {
    if (state.numbers[name] !== NUMBERS[name]) next.set(name, String(state.numbers[name]));
  }
  if (state.sort !== "") next.set("sort", state.sort);
  if (state.compare.length > 0) next.set("compare", state.compare.join(","));
  if (state.hidden.length > 0) next.set("hide", state.hidden.join(","));
  if (state.here !== "") next.set("here", state.here);
  history.replaceState(null, "", next.size === 0 ? location.pathname : `?${next}`);
}

/** A row is completed when it first comes into view: fifteen hundred at once take longer than a frame. */
function complete(element: Element): Element {
  const row = rowOf(element);
  if (element.cells.length === KEYS.length) {
    element.insertCell().className = "number";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Compare ${row.name}`);
    box.addEventListener("change", () => {
      state.compare = box.checked ? [...state.compare, row.name] : state.compare.filter((each) => each !== row.name);
      showComparison();
      writeAddress();
    });
    element.insertCell().append(box);
  }
  if (here !== null && element.cells.length === KEYS.length + 2) {
    const known = hereOf(row);
    for (const [key, , isNumber] of HERE_COLUMNS) {
      const cell = element.insertCell();
      cell.textContent = isNumber ? String(known[key] ?? "–") : String(known[key]);
      if (isNumber) cell.className = "number";
      else cell.title = String(known[key]);
    }
  }
  const [cost, compare] = [element.cells[KEYS.length], element.cells[KEYS.length + 1]];
  if (cost !== undefined) cost.textContent = costText(row);
  const box = compare?.querySelector("input") ?? null;
  if (box !== null) {
    box.checked = state.compare.includes(row.name);
    box.disabled = !box.checked && state.compare.length >= MAX_COMPARED;
  }
  return element;
}

const view = body === undefined ? null : new RowWindow(body, complete, KEYS.length + 2);

function update(): void {
  const words = state.texts.q
    .toLowerCase()
    .split(/\s+/)
    .filter((each) => each !== "");
  const isAll = words.length === 0 && isUnfiltered();
  const found = isAll ? elements : elements.filter((element) => matches(rowOf(element), words));
  view?.show(ordered(found));
  if (shown !== null) {
    shown.textContent =
      found.length === 0
        ? "No model fits. Take a filter away."
        : `${count(found.length)} of ${count(elements.length)} models`;
  }
  for (const [key, heading] of HEADINGS) {
    const isBy = state.sort.replace(/^-/, "") === key;
    heading.setAttribute("aria-sort", isBy ? (state.sort.startsWith("-") ? "descending" : "ascending") : "none");
  }
  writeAddress();
}

function chosenRows(): readonly Row[] {
  const byName = new Map(elements.map(rowOf).map((row) => [row.name, row]));
  return state.compare.flatMap((name) => byName.get(name) ?? []);
}

function showComparison(): void {
  view?.again();
  if (compareArea === null) return;
  const chosen = state.compare.length < 2 ? [] : chosenRows();
  if (chosen.length < 2) {
    compareArea.replaceChildren();
    return;
  }
  const { in: prompt, out } = state.numbers;
  const lines: readonly (readonly [string, (row: Row) => string])[] = [
    ["Model", (row) => row.name],
    ["Input $", (row) => money(row.input)],
    ["Output $", (row) => money(row.output)],
    ["Cached $", (row) => money(row.cached)],
    [`${count(prompt)} in, ${count(out)} out $`, costText],
    ["Window", (row) => count(row.window)],
    ["Modalities", (row) => row.modalities],
    ["Abilities", (row) => row.abilities],
    ["Released", (row) => row.released],
    ["Status", (row) => row.status],
  ];
  const compared = document.createElement("table");
  compared.createCaption().textContent = "Comparison";
  for (const [name, value] of lines) {
    const line = compared.insertRow();
    const heading = document.createElement("th");
    heading.scope = "row";
    heading.textContent = name;
    line.append(heading);
    const texts = chosen.map(value);
    for (const text of texts) line.insertCell().textContent = text;
    // What they do not have in common is what a reader looks for.
    if (new Set(texts).size > 1) line.className = "differs";
  }
  const frame = document.createElement("section");
  frame.className = "table";
  frame.tabIndex = 0;
  frame.setAttribute("aria-label", "Comparison");
  frame.append(compared);
  compareArea.replaceChildren(frame);
}

const HEADINGS = new Map<string, HTMLTableCellElement>();

/** Behind those that are there; each with a key sorts. */
function addHeadings(added: readonly (readonly [key: string, name: string, isNumber: boolean])[]): void {
  if (headRow === undefined) return;
  for (const [key, text, isNumber] of added) {
    const heading = document.createElement("th");
    heading.scope = "col";
    heading.textContent = text;
    if (key !== "") heading.dataset["sort"] = key;
    if (isNumber) heading.className = "number";
    headRow.append(heading);
  }
  for (const heading of headRow.cells) {
    const key = heading.dataset["sort"];
    if (key === undefined || HEADINGS.has(key)) continue;
    HEADINGS.set(key, heading);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => {
      state.sort = state.sort === key ? `-${key}` : key;
      update();
    });
    heading.replaceChildren(button);
  }
}

/** Columns that are not wanted go by a class of the table, so that no cell is touched. */
function addColumns(): void {
  if (columnsArea === null || table === null) return;
  for (const [key, heading] of HEADINGS) {
    if (key === "id") continue;
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !state.hidden.includes(key);
    table.classList.toggle(`without-${key}`, !box.checked);
    box.addEventListener("change", () => {
      state.hidden = box.checked ? state.hidden.filter((each) => each !== key) : [...state.hidden, key];
      table.classList.toggle(`without-${key}`, !box.checked);
      view?.measure();
      writeAddress();
    });
    label.append(box, ` ${heading.textContent}`);
    columnsArea.append(label);
  }
}

/** Asked for again when the deployment has answered. */
function showHere(): void {
  const known = (window as { readonly flowLayerHere?: Here }).flowLayerHere;
  if (known === undefined || here !== null || form === null || table === null) return;
  here = known;
  table.classList.add("with-here");
  addHeadings(HERE_COLUMNS);
  const label = document.createElement("label");
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "Here");
  for (const [value, name] of [
    ["", "any"],
    ["configured", "configured"],
    ["used", "used by a route"],
  ] as const) {
    choice.append(new Option(name, value, false, value === state.here));
  }
  choice.addEventListener("input", () => {
    state.here = choice.value;
    update();
  });
  label.append("Here ", choice);
  form.querySelector("fieldset")?.before(label);
  update();
  view?.again();
}

function prepare(): void {
  if (form === null || headRow === undefined) return;
  addHeadings([
    ["cost", "Cost $", true],
    ["", "Compare", false],
  ]);
  addColumns();
  for (const name of TEXTS) {
    const field = form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
    field.value = state.texts[name];
    field.addEventListener("input", () => {
      state.texts[name] = field.value;
      update();
    });
  }
  for (const name of NUMBER_NAMES) {
    const field = form.elements.namedItem(name) as HTMLInputElement;
    const value = state.numbers[name];
    field.value = value === 0 || value === Number.POSITIVE_INFINITY ? "" : String(value);
    field.addEventListener("input", () => {
      const empty = name === "input" ? Number.POSITIVE_INFINITY : 0;
      const next = field.value === "" ? empty : Number(field.value);
      state.numbers[name] = Number.isFinite(next) && next >= 0 ? next : empty;
      update();
      showComparison();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
  showComparison();
  later(() => readAhead(0));
  addEventListener(HERE_EVENT, showHere);
  showHere();
}

prepare();
