/** Runs the page's example against the sandbox of this deployment, where there is one; elsewhere the recording stays. */
import { HEADER_WORDS, SHOWN_HEADERS } from "../parts/header-words.ts";

const EXAMPLE = {
  api: "chat",
  request: {
    model: "flow/best-reasoning",
    messages: [{ role: "user", content: "Compare these model routes for a code review agent." }],
    route: { fallback: true, latency_budget_ms: 1800 },
  },
};
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

async function run(area: HTMLElement, button: HTMLButtonElement): Promise<void> {
  const part = (name: string): HTMLElement | null => area.querySelector<HTMLElement>(`[data-run-${name}]`);
  const say = (text: string): void => {
    const source = part("source");
    if (source !== null) source.textContent = text;
  };
  button.disabled = true;
  say("Asking the sandbox…");
  const response = await fetch("/docs/run", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(EXAMPLE),
  }).catch(() => null);
  button.disabled = false;
  if (response === null || !response.ok) {
    say(
      response?.status === 429
        ? "The sandbox takes ten requests a minute from one address. This is a recording."
        : "The sandbox did not answer. This is a recording.",
    );
    await response?.body?.cancel();
    return;
  }
  say("Live, answered by this deployment's sandbox.");
  part("headers")?.replaceChildren(
    ...SHOWN_HEADERS.flatMap((name) => {
      const value = response.headers.get(name);
      return value === null ? [] : [headerRow(name, value, area.dataset["explained"] !== undefined)];
    }),
  );
  part("attempts")?.replaceChildren(...attemptRows(response.headers.get("x-flowlayer-attempt-log") ?? ""));
  const answer = (await response.json().catch(() => null)) as {
    choices?: { message?: { content?: unknown } }[];
  } | null;
  const content = answer?.choices?.[0]?.message?.content;
  const place = part("answer");
  if (place === null || typeof content !== "string") return;
  place.hidden = false;
  place.textContent = content.length > MOST_SHOWN ? `${content.slice(0, MOST_SHOWN)}…` : content;
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
    button.addEventListener("click", () => void run(area, button));
  }
}

void offer();
