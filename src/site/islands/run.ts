/** Runs the page's examples against the sandbox of this deployment, where there is one; elsewhere the recording stays. */
import { HEADER_WORDS, SHOWN_HEADERS } from "../parts/header-words.ts";
import { FIRST_RUN, NOT_RUN, RUNS, type Run } from "../parts/runs.ts";
import { deltaOf, eventsOf } from "../parts/stream.ts";

const MOST_SHOWN = 280;

const element = (tag: string, text: string, kind = ""): HTMLElement => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind !== "") made.className = kind;
  return made;
};

function headerRow(name: string, value: string, isExplained: boolean): HTMLElement {
  const row = document.createElement("div");
  row.append(element("dt", name), element("dd", value));
  if (isExplained) row.append(element("dd", HEADER_WORDS[name] ?? "", "words"));
  return row;
}

/** `openai/gpt-5;rate_limited;429;120ms, …`: one bar an attempt, one behind the other. */
function attemptRows(log: string): HTMLElement[] {
  const attempts = log.split(", ").map((each) => {
    const [target = "", outcome = "", status = "", took = ""] = each.split(";");
    return { target, outcome, status, ms: Number.parseFloat(took) || 0 };
  });
  const total = Math.max(
    1,
    attempts.reduce((sum, { ms }) => sum + ms, 0),
  );
  let start = 0;
  return attempts.map(({ target, outcome, status, ms }) => {
    const row = element("li", "", outcome === "ok" ? "ok" : outcome === "cancelled" ? "slow" : "failed");
    const bar = element("span", "", "bar");
    bar.style.marginLeft = `${(100 * start) / total}%`;
    bar.style.width = `${Math.max(1, (100 * ms) / total)}%`;
    start += ms;
    const what = `${outcome.replaceAll("_", " ")} ${status}, ${ms} ms`;
    row.append(element("span", target, "target"), bar, element("span", what, "what"));
    return row;
  });
}

interface Answer {
  readonly choices?: readonly { readonly message?: Message }[];
  /** Messages. */
  readonly content?: readonly { readonly text?: unknown }[];
  /** Responses. */
  readonly output?: readonly { readonly content?: readonly { readonly text?: unknown }[] }[];
}

interface Message {
  readonly content?: unknown;
  readonly tool_calls?: readonly { readonly function?: { readonly name?: string; readonly arguments?: string } }[];
}

/** The words of an answer of any of the three APIs, or the tool calls in it. */
function wordsOf({ choices, content, output }: Answer): string {
  const message = choices?.[0]?.message;
  const [call] = message?.tool_calls ?? [];
  if (call !== undefined) return `${call.function?.name}(${call.function?.arguments})`;
  const found = message?.content ?? content?.[0]?.text ?? output?.find((each) => each.content)?.content?.[0]?.text;
  return typeof found === "string" ? found : "";
}

/** Shows the answer in `place`, a stream as it comes. */
async function showAnswer(response: Response, place: HTMLElement | null): Promise<void> {
  if (place === null) {
    await response.body?.cancel();
    return;
  }
  const show = (text: string): void => {
    place.hidden = text === "";
    place.textContent = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
  };
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    show(wordsOf((await response.json().catch(() => ({}))) as Answer));
    return;
  }
  let text = "";
  for await (const event of eventsOf(response)) {
    text += deltaOf(event).text;
    show(text);
  }
}

/** What a recording cannot have, on the home page. */
const LIVE_HEADERS = ["x-flowlayer-latency-ms", "x-flowlayer-trace-id"];

const BUSY = "The sandbox takes ten requests a minute from one address.";
const SILENT = "The sandbox did not answer.";

async function run(area: HTMLElement, button: HTMLButtonElement, { api, request, note }: Run): Promise<void> {
  const part = (name: string): HTMLElement | null => area.querySelector<HTMLElement>(`[data-run-${name}]`);
  const say = (text: string): void => {
    const source = part("source");
    if (source !== null) source.textContent = text;
  };
  const isExplained = area.dataset["explained"] !== undefined;
  const recorded = [...area.querySelectorAll("[data-run-headers] dt")].map((each) => each.textContent);
  const shown = isExplained
    ? SHOWN_HEADERS
    : SHOWN_HEADERS.filter((name) => recorded.includes(name) || LIVE_HEADERS.includes(name));
  button.disabled = true;
  say("Asking the sandbox…");
  const response = await fetch("/docs/run", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ api, request }),
  }).catch(() => null);
  button.disabled = false;
  if (response === null || !response.ok) {
    say(`${response?.status === 429 ? BUSY : SILENT}${recorded.length > 0 ? " This is a recording." : ""}`);
    await response?.body?.cancel();
    return;
  }
  say(`Live, answered by this deployment's sandbox.${note === undefined ? "" : ` ${note}`}`);
  part("headers")?.replaceChildren(
    ...shown.flatMap((name) => {
      const value = response.headers.get(name);
      return value === null ? [] : [headerRow(name, value, isExplained)];
    }),
  );
  part("attempts")?.replaceChildren(...attemptRows(response.headers.get("x-flowlayer-attempt-log") ?? ""));
  await showAnswer(response, part("answer"));
}

/** The place below an example for its answer; made when it is first run. */
function boxBelow(code: HTMLElement): HTMLElement {
  const known = code.querySelector<HTMLElement>(".run-box");
  if (known !== null) return known;
  const box = element("div", "", "run-box");
  box.dataset["explained"] = "";
  for (const [tag, kind, name] of [
    ["p", "run-head", "runSource"],
    ["p", "run-answer", "runAnswer"],
    ["dl", "headers explained", "runHeaders"],
  ] as const) {
    const made = element(tag, "", kind);
    made.dataset[name] = "";
    made.hidden = name === "runAnswer";
    if (name === "runSource") made.setAttribute("role", "status");
    box.append(made);
  }
  code.append(box);
  return box;
}

/** A button at each example, or the reason why there is none. */
function offerExamples(): void {
  for (const code of document.querySelectorAll<HTMLElement>(".code[data-example]")) {
    const name = code.dataset["example"] ?? "";
    const request = RUNS[name];
    const why = NOT_RUN[name];
    if (why !== undefined) code.append(element("p", why, "not-run"));
    if (request === undefined) continue;
    const button = element("button", "Run", "copy run") as HTMLButtonElement;
    button.type = "button";
    button.title = `Send what ${name} sends to the sandbox`;
    button.addEventListener("click", () => void run(boxBelow(code), button, request));
    code.prepend(button);
  }
}

/** The index of this deployment says whether it runs requests from its pages. */
async function offer(): Promise<void> {
  const areas = [...document.querySelectorAll<HTMLElement>("[data-run]")];
  if (areas.length === 0) return;
  const response = await fetch("/", { headers: { accept: "application/json" } }).catch(() => null);
  const index = (await response?.json().catch(() => null)) as { run?: unknown } | null | undefined;
  if (index?.run !== "/docs/run") return;
  for (const area of areas) {
    const button = area.querySelector<HTMLButtonElement>("[data-run-button]");
    if (button === null) continue;
    button.hidden = false;
    button.addEventListener("click", () => void run(area, button, FIRST_RUN));
  }
  offerExamples();
}

void offer();
