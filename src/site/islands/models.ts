/** Search, filters, sorting, comparison and costs of the model directory; the state is in the address. */
import { count, money } from "../parts/figures.ts";

interface Row {
  readonly element: HTMLTableRowElement;
  readonly id: string;
  readonly provider: string;
  readonly input: number | null;
  readonly output: number | null;
  readonly cached: number | null;
  readonly window: number | null;
  readonly abilities: string;
  readonly status: string;
  readonly text: string;
}

const MAX_COMPARED = 4;
const form = document.querySelector<HTMLFormElement>("[data-filters]");
const table = document.querySelector<HTMLTableElement>("table.models");
const body = table?.tBodies[0];
const shown = form?.elements.namedItem("shown") as HTMLOutputElement | null;
const compareArea = document.querySelector<HTMLElement>("[data-compare]");

const figure = (cell: HTMLTableCellElement | undefined): number | null => {
  const text = cell?.textContent?.replaceAll(",", "") ?? "";
  return text === "–" || text === "" ? null : Number(text);
};

const rows: Row[] = [...(body?.rows ?? [])].map((element) => {
  const cells = [...element.cells];
  const text = (at: number): string => cells[at]?.textContent ?? "";
  return {
    element,
    id: text(0).trim(),
    provider: text(1),
    input: figure(cells[2]),
    output: figure(cells[3]),
    cached: figure(cells[4]),
    window: figure(cells[5]),
    abilities: text(6),
    status: text(7),
    text: `${text(0)} ${text(1)} ${text(6)}`.toLowerCase(),
  };
});

interface State {
  q: string;
  provider: string;
  can: string;
  window: number;
  input: number;
  in: number;
  out: number;
  sort: string;
  compare: string[];
}

const parameters = new URLSearchParams(location.search);
const number = (name: string, otherwise: number): number => {
  const value = Number(parameters.get(name) ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 ? value : otherwise;
};
const state: State = {
  q: parameters.get("q") ?? "",
  provider: parameters.get("provider") ?? "",
  can: parameters.get("can") ?? "",
  window: number("window", 0),
  input: number("input", Number.POSITIVE_INFINITY),
  in: number("in", 1_000),
  out: number("out", 500),
  sort: parameters.get("sort") ?? "",
  compare: (parameters.get("compare") ?? "")
    .split(",")
    .filter((each) => each !== "")
    .slice(0, MAX_COMPARED),
};

function matches(row: Row): boolean {
  return (
    state.q
      .toLowerCase()
      .split(/\s+/)
      .every((word) => row.text.includes(word)) &&
    (state.provider === "" || row.provider === state.provider) &&
    (state.can === "" || row.abilities.split(", ").includes(state.can)) &&
    (state.window === 0 || (row.window ?? 0) >= state.window) &&
    (state.input === Number.POSITIVE_INFINITY || (row.input ?? Number.POSITIVE_INFINITY) <= state.input)
  );
}

function costOf({ input, output }: Row): number | null {
  return input === null || output === null ? null : (input * state.in + output * state.out) / 1_000_000;
}

function compareBy(key: string): (a: Row, b: Row) => number {
  const descending = key.startsWith("-");
  const name = descending ? key.slice(1) : key;
  return (a, b) => {
    const [left, right] = name === "cost" ? [costOf(a), costOf(b)] : [a[name as keyof Row], b[name as keyof Row]];
    // Unknown figures go last, whichever way the column is sorted.
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
    const order = left < right ? -1 : left > right ? 1 : 0;
    return descending ? -order : order;
  };
}

function writeAddress(): void {
  const next = new URLSearchParams();
  if (state.q !== "") next.set("q", state.q);
  if (state.provider !== "") next.set("provider", state.provider);
  if (state.can !== "") next.set("can", state.can);
  if (state.window > 0) next.set("window", String(state.window));
  if (state.input !== Number.POSITIVE_INFINITY) next.set("input", String(state.input));
  if (state.in !== 1_000) next.set("in", String(state.in));
  if (state.out !== 500) next.set("out", String(state.out));
  if (state.sort !== "") next.set("sort", state.sort);
  if (state.compare.length > 0) next.set("compare", state.compare.join(","));
  history.replaceState(null, "", next.size === 0 ? location.pathname : `?${next}`);
}

const nameOf = ({ provider, id }: Row): string => `${provider}/${id}`;

function update(): void {
  if (body === undefined) return;
  const isSortable = state.sort !== "" && HEADINGS.has(state.sort.replace(/^-/, ""));
  const found = rows.filter(matches);
  const ordered = isSortable ? found.toSorted(compareBy(state.sort)) : found;
  for (const row of ordered) {
    const cell = row.element.cells[8];
    const cost = costOf(row);
    if (cell !== undefined) cell.textContent = cost === null ? "–" : cost.toFixed(6);
  }
  body.replaceChildren(...ordered.map(({ element }) => element));
  if (shown !== null) shown.textContent = `${found.length} of ${rows.length} models`;
  for (const [key, heading] of HEADINGS) {
    const isBy = state.sort.replace(/^-/, "") === key;
    heading.setAttribute("aria-sort", isBy ? (state.sort.startsWith("-") ? "descending" : "ascending") : "none");
  }
  showComparison();
  writeAddress();
}

function showComparison(): void {
  if (compareArea === null) return;
  const chosen = state.compare.flatMap((name) => rows.find((row) => nameOf(row) === name) ?? []);
  for (const row of rows) {
    const box = row.element.querySelector<HTMLInputElement>("input[type=checkbox]");
    if (box === null) continue;
    box.checked = chosen.includes(row);
    box.disabled = !box.checked && chosen.length >= MAX_COMPARED;
  }
  if (chosen.length < 2) {
    compareArea.replaceChildren();
    return;
  }
  const lines: readonly (readonly [string, (row: Row) => string])[] = [
    ["Model", nameOf],
    ["Input $", (row) => money(row.input)],
    ["Output $", (row) => money(row.output)],
    ["Cached $", (row) => money(row.cached)],
    [`${count(state.in)} in, ${count(state.out)} out $`, (row) => costOf(row)?.toFixed(6) ?? "–"],
    ["Window", (row) => count(row.window)],
    ["Abilities", (row) => row.abilities],
    ["Status", (row) => row.status],
  ];
  const compared = document.createElement("table");
  const caption = compared.createCaption();
  caption.textContent = "Comparison";
  for (const [name, value] of lines) {
    const line = compared.insertRow();
    const heading = document.createElement("th");
    heading.scope = "row";
    heading.textContent = name;
    line.append(heading);
    for (const row of chosen) line.insertCell().textContent = value(row);
  }
  const frame = document.createElement("div");
  frame.className = "table";
  frame.append(compared);
  compareArea.replaceChildren(frame);
}

const HEADINGS = new Map<string, HTMLTableCellElement>();

function prepare(): void {
  if (form === null || table?.tHead == null) return;
  form.hidden = false;
  const headRow = table.tHead.rows[0];
  const costHeading = document.createElement("th");
  costHeading.scope = "col";
  costHeading.dataset["sort"] = "cost";
  costHeading.textContent = "Cost $";
  const compareHeading = document.createElement("th");
  compareHeading.scope = "col";
  compareHeading.textContent = "Compare";
  headRow?.append(costHeading, compareHeading);
  for (const row of rows) {
    row.element.insertCell().className = "number";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Compare ${nameOf(row)}`);
    box.addEventListener("change", () => {
      const name = nameOf(row);
      state.compare = box.checked ? [...state.compare, name] : state.compare.filter((each) => each !== name);
      showComparison();
      writeAddress();
    });
    row.element.insertCell().append(box);
  }
  for (const heading of headRow?.cells ?? []) {
    const key = heading.dataset["sort"];
    if (key === undefined) continue;
    HEADINGS.set(key, heading as HTMLTableCellElement);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => {
      state.sort = state.sort === key ? `-${key}` : key;
      update();
    });
    heading.replaceChildren(button);
  }
  for (const name of ["q", "provider", "can"] as const) {
    const field = form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
    field.value = state[name];
    field.addEventListener("input", () => {
      state[name] = field.value;
      update();
    });
  }
  for (const name of ["window", "input", "in", "out"] as const) {
    const field = form.elements.namedItem(name) as HTMLInputElement;
    const value = state[name];
    field.value = value === 0 || value === Number.POSITIVE_INFINITY ? "" : String(value);
    field.addEventListener("input", () => {
      const empty = name === "input" ? Number.POSITIVE_INFINITY : 0;
      const next = field.value === "" ? empty : Number(field.value);
      state[name] = Number.isFinite(next) && next >= 0 ? next : empty;
      update();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

prepare();
