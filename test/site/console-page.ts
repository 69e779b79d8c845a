/** The console in a browser: signed in by its own form, and what its control plane is made to answer. */
import type { Browser, BrowserContext, Page, Route } from "playwright-core";
import { faultsOf, type Instance } from "./browser.ts";

export const CONSOLE_PAGES = [
  ...["", "/traces", "/routes", "/keys", "/providers", "/approvals", "/spend", "/prices", "/budgets", "/webhooks"],
  ...["/audit", "/playground"],
] as const;

export const HOSTILE = `<img src=x onerror="document.title='owned'">`;

export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly faults: readonly string[];
}

export async function signIn(browser: Browser, instance: Instance, token = instance.adminToken): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const faults = faultsOf(page, instance.url);
  await signInOn(page, instance, token);
  return { page, context, faults };
}

/** Signs in on a page that is there already. */
export async function signInOn(page: Page, instance: Instance, token = instance.adminToken): Promise<void> {
  await page.goto(`${instance.url}/console`);
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Console" }).waitFor();
}

export async function openPage(page: Page, instance: Instance, address: string): Promise<void> {
  await page.goto(`${instance.url}/console${address}`, { waitUntil: "networkidle" });
  await page.locator("main h1").waitFor();
}

/** Lets the control plane answer, and changes what it said. */
export async function changed(route: Route, change: (body: unknown) => unknown): Promise<void> {
  // What a browser says by itself, and the session asks for.
  const response = await route.fetch({ headers: { ...route.request().headers(), "sec-fetch-site": "same-origin" } });
  const text = await response.text();
  if (!(response.headers()["content-type"] ?? "").includes("application/json")) return route.fulfill({ response });
  await route.fulfill({ response, body: JSON.stringify(change(JSON.parse(text))) });
}

/** Words that pages choose by, addresses and times: everything else may be anybody's text. */
const KEPT =
  /^(?:id|key_id|trace_id|tool_call_id|env|status|state|source|period|kind|api|object|next_cursor|start|scopes|.*_at|at|as_of|until|since|url)$/;

/** The same answer with hostile text in every member that somebody else writes. */
export function hostile(value: unknown, name = ""): unknown {
  if (typeof value === "string") return KEPT.test(name) ? value : HOSTILE;
  if (Array.isArray(value)) return value.map((each) => hostile(each, name));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([inner, each]) => [inner, hostile(each, inner)]);
  const isFree = name === "tags" || name === "facets";
  return Object.fromEntries(
    isFree ? [...entries, [HOSTILE, name === "tags" ? HOSTILE : { [HOSTILE]: 2, b: 1 }]] : entries,
  );
}

/** `count` traces, newest first, as the trace list answers them page by page. */
export function traceList(url: string, count: number): object {
  const query = new URL(url).searchParams;
  const start = Number(query.get("cursor") ?? 0);
  const end = Math.min(count, start + Number(query.get("limit") ?? 100));
  const data = Array.from({ length: end - start }, (_, at) => traceAt(start + at));
  const next = end < count ? String(end) : null;
  return { object: "list", data, has_more: next !== null, next_cursor: next, as_of: new Date().toISOString() };
}

function traceAt(at: number): object {
  const attempt = {
    ...{ provider: "alpha", model: "alpha-large", outcome: "ok", status: 200, started_ms: 0, first_token_ms: 300 },
    ...{ duration_ms: 900 + (at % 700), hedged: false, winner: true, cost_usd: 0.001 },
  };
  return {
    ...{ id: `tr_${String(at).padStart(32, "0")}`, created_at: new Date(1_790_000_000_000 - at * 1_000).toISOString() },
    ...{ api: "chat", key_id: "000000000000", env: "production", app: `app-${at % 7}`, route: "flow/best-reasoning" },
    ...{ route_version: 3, stream: true, status: at % 9 === 0 ? "error" : "ok", http_status: 200, provider: "alpha" },
    ...{ model: "alpha-large", fallback: at % 5 === 0, fallback_reason: "rate_limited", attempts: [attempt] },
    latency: { first_token_ms: 300, total_ms: 900 + (at % 700), budget_ms: null, budget_met: null },
    ...{ usage: { prompt_tokens: 900, completion_tokens: 120, source: "upstream" }, cost_usd: 0.0123, tags: {} },
  };
}

/**
 * The most that the page works for one turn of a wheel, frame included, in ms of its own processor time: what else runs
 * on the machine does not count.
 */
export async function longestWorkOfAScroll(page: Page): Promise<number> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const workMs = async (): Promise<number> => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    return 1_000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0);
  };
  await page.evaluate("scrollTo(0, 0)");
  await page.mouse.move(700, 500);
  let most = 0;
  for (let turn = 0; turn < TURNS; turn++) {
    const before = await workMs();
    await page.mouse.wheel(0, turn < TURNS / 2 ? PX_A_TURN : -PX_A_TURN);
    await page.evaluate(TWO_FRAMES);
    const work = (await workMs()) - before;
    if (turn > 0) most = Math.max(most, work);
  }
  await cdp.detach();
  return most;
}

const TURNS = 40;
/** About eighteen rows: a fast turn. */
const PX_A_TURN = 500;
const TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";

/** Run in the page: how many rows the reader sees. */
export const ROWS_IN_VIEW = `[...document.querySelectorAll("tr[data-row]")].filter((row) => {
  const { top, bottom } = row.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}).length`;
