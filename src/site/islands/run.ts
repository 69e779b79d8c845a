/** The home page's instrument: runs the example against the sandbox of this deployment, where there is one. */

const area = document.querySelector<HTMLElement>("[data-run]");
const button = area?.querySelector<HTMLButtonElement>("[data-run-button]") ?? null;
const source = area?.querySelector<HTMLElement>("[data-run-source]") ?? null;
const headers = area?.querySelector<HTMLElement>("[data-run-headers]") ?? null;

const SHOWN = [
  ...["x-flowlayer-route", "x-flowlayer-provider", "x-flowlayer-model", "x-flowlayer-attempts"],
  ...["x-flowlayer-fallback", "x-flowlayer-fallback-reason", "x-flowlayer-attempt-log", "x-flowlayer-hedge"],
  ...["x-flowlayer-latency-ms", "x-flowlayer-latency-budget-met", "x-flowlayer-cost-usd", "x-flowlayer-trace-id"],
];

async function run(): Promise<void> {
  if (button === null || source === null || headers === null) return;
  button.disabled = true;
  const response = await fetch("/docs/run", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      api: "chat",
      request: { model: "flow/best-reasoning", messages: [{ role: "user", content: "Compare these model routes." }] },
    }),
  }).catch(() => null);
  button.disabled = false;
  if (response === null || !response.ok) {
    source.textContent =
      response?.status === 429
        ? "The sandbox takes ten requests a minute. A recording."
        : "The sandbox did not answer. A recording.";
    return;
  }
  source.textContent = "Live, answered by this deployment's sandbox.";
  headers.replaceChildren(
    ...SHOWN.flatMap((name) => {
      const value = response.headers.get(name);
      if (value === null) return [];
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = value;
      row.append(term, detail);
      return [row];
    }),
  );
  await response.body?.cancel();
}

/** The index of this deployment says whether it runs requests from its pages; elsewhere only the recording is shown. */
async function offer(): Promise<void> {
  const response = await fetch("/", { headers: { accept: "application/json" } }).catch(() => null);
  const index = (await response?.json().catch(() => null)) as { run?: unknown } | null | undefined;
  if (button === null || index?.run !== "/docs/run") return;
  button.hidden = false;
  button.addEventListener("click", () => void run());
}

void offer();
