/**
 * What a person does with a browser and the address of a fresh `npm start -- --demo`: promote on evidence, approve,
 * correct a price, find why a request was slow; and what each role, a slow and a failing deployment show.
 */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, type Instance, launch, seriousIssues, startInstance } from "./browser.ts";
import {
  CONSOLE_PAGES,
  changed,
  HOSTILE,
  hostile,
  longestWorkOfAScroll,
  openPage,
  ROWS_IN_VIEW,
  signIn,
  traceList,
} from "./console-page.ts";

const path = browserPath();
if (path === null) console.log("Journeys are not tested: there is no Chromium on this machine.");

const tokenOf = (role: string): string => `${role}-token-${"0123456789abcdef".repeat(2)}`;
const ROLES = ["read", "approve", "release"] as const;
const MANY = 10_000;
const PAUSE_MS = 50;
const CHART_MS = 200;

describe.skipIf(path === null)("journeys in the console", () => {
  let instance: Instance;
  let browser: Browser;
  beforeAll(async () => {
    const operators = ROLES.map((role) => `${role}er:${tokenOf(role)}:${role}`).join(",");
    [instance, browser] = await Promise.all([
      startInstance(["--demo"], { FLOW_ADMIN_TOKENS: operators }),
      launch(path ?? ""),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await instance?.stop();
  });

  test("why a request was slow: from the overview to the sentence that says it", async () => {
    const { page, context, faults } = await signIn(browser, instance);
    await page.getByRole("link", { name: /^First token p95/ }).click();
    await page.getByRole("heading", { level: 1, name: "Traces" }).waitFor();
    expect(page.url()).toContain("min_total_ms=");
    const table = page.getByRole("table", { name: "Traces" });
    await table.getByRole("row").nth(1).waitFor();
    await table.getByRole("button", { name: "Total" }).click();
    await table.getByRole("row").nth(1).getByRole("link").click();
    await page.getByText("Where the time went").waitFor();
    await page.getByText(/to stream the rest|until the first token of|lost on/).waitFor();
    await page.getByRole("table", { name: "Attempts" }).waitFor();
    await page.getByText("Headers of the answer").click();
    await page.getByText("x-flowlayer-attempt-log").waitFor();
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Traces" }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a policy is promoted on its evidence, and the gates are told in words", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/routes?env=staging");
    await page.getByRole("link", { name: "flow/fast-eval" }).click();
    await page.getByText(/requests, .* succeeded; with so many requests the true share is at least/).waitFor();
    await page.getByText(/Enough requests: [0-9]+, wanted at least 20/).waitFor();
    await page.getByLabel("Promote to").selectOption("production");
    await page.getByLabel("Reason").fill("the evidence of an hour");
    await page.getByRole("button", { name: "Promote" }).click();
    await page.getByText("Promoted. The gates:").waitFor();
    await openPage(page, instance, "/routes/production/fast-eval");
    await page.getByText("version 2, published").waitFor();
    await openPage(page, instance, "/audit?action=route.promote");
    await page.getByRole("row").filter({ hasText: "the evidence of an hour" }).waitFor();
    await context.close();
  });

  test("tool calls wait with their arguments; one is approved, one is denied; looking on is no line in the audit", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/approvals");
    const refund = page.getByRole("row").filter({ hasText: "refund_order" });
    await refund.getByText("148.5").first().waitFor();
    const lines = await page.evaluate(readArgumentsLines);
    await page.waitForResponse((response) => response.url().includes("arguments=false"));
    await page.waitForResponse((response) => response.url().includes("arguments=false"));
    expect(await page.evaluate(readArgumentsLines)).toBe(lines);
    const erase = page.getByRole("row").filter({ hasText: "delete_customer" });
    for (const row of [refund, erase]) await row.getByLabel("Reason").fill("not by an agent");
    await refund.getByLabel("Reason").fill("a broken cup");
    await refund.getByRole("button", { name: "Approve" }).click();
    await refund.waitFor({ state: "detached" });
    await erase.getByRole("button", { name: "Deny" }).click();
    await page.getByText("No tool call waits.").waitFor();
    await page.getByLabel("Status").selectOption("denied");
    await page.getByRole("row").filter({ hasText: "not by an agent" }).waitFor();
    await context.close();
  });

  async function readArgumentsLines(): Promise<number> {
    const headers = { "x-flowlayer-console": "1" };
    const answer = await fetch("/admin/audit?action=approval.read&limit=1000", { headers });
    return ((await answer.json()) as { data: unknown[] }).data.length;
  }

  test("a price is corrected: set, tried as a dry run, and booked", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/prices");
    await page.getByLabel("Model", { exact: true }).fill("openai/gpt-5-mini");
    const row = page.getByRole("row").filter({ has: page.getByText("openai/gpt-5-mini", { exact: true }) });
    await row.getByRole("button", { name: "Change" }).click();
    await page.getByLabel("Output (USD a million)").fill("4");
    await page.getByRole("dialog").getByRole("button", { name: "Set price" }).click();
    await row.getByText("operator").waitFor();
    await row.getByRole("button", { name: "Reprice" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Dry run" }).click();
    await dialog.getByText("done, dry run").waitFor();
    await dialog
      .getByText(/^\$0\.[0-9]*[1-9]/)
      .first()
      .waitFor();
    await dialog.getByRole("button", { name: "Reprice", exact: true }).click();
    await dialog.getByText("done", { exact: true }).waitFor();
    await context.close();
  });

  test("controls, fields and lists have the names that everybody may rely on", async () => {
    const { page, context } = await signIn(browser, instance);
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    await page.getByLabel("Search").waitFor();
    await page.getByLabel("Environment").selectOption("staging");
    for (const landmark of ["banner", "navigation", "main", "search"] as const) {
      expect(await page.getByRole(landmark).count(), landmark).toBe(1);
    }
    for (const [address, name] of LISTS) {
      await openPage(page, instance, address);
      expect(await page.getByRole("table", { name, exact: true }).count(), name).toBe(1);
      expect(await page.getByRole("heading", { level: 1, name, exact: true }).count(), name).toBe(1);
    }
    await openPage(page, instance, "/keys");
    await page.getByRole("button", { name: "Create key" }).click();
    // Behind the dialog nothing of the same name is left, so each name means one thing.
    await page.getByLabel("Name").fill("named");
    await page.getByLabel("Environment").selectOption("staging");
    await page.getByLabel("App").fill("studio");
    await page.getByLabel("Budget (USD)").fill("2.5");
    await page.getByRole("button", { name: "Create key" }).click();
    expect((await page.getByLabel("API key").innerText()).trim()).toMatch(/^fl_staging_/);
    await page.getByRole("dialog").getByRole("button", { name: "Copy" }).first().waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "named" }).click();
    await page.getByRole("button", { name: "Change limits" }).click();
    await page.getByLabel("Budget (USD)").fill("7.5");
    await page.getByLabel("Requests per minute").fill("30");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("requests per minute 30").waitFor();
    await page.getByText("$7.50 a month").waitFor();
    await page.getByRole("button", { name: "Rotate key" }).click();
    await page.getByRole("button", { name: "Rotate key" }).click();
    await page.getByText(/The old secret ends in 00:59:|01:00:00/).waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Revoke key" }).click();
    await page.getByLabel("Name of the key").fill("named");
    await page.getByRole("button", { name: "Revoke key" }).click();
    await page.getByText("revoked").waitFor();
    await openPage(page, instance, "/routes/staging/best-reasoning");
    await page.getByLabel("Policy").waitFor();
    await page.getByLabel("Reason").waitFor();
    for (const name of ["Publish", "Promote"]) await page.getByRole("button", { name }).waitFor();
    await openPage(page, instance, "/playground");
    await page.getByLabel("Route").selectOption("fast-eval");
    await page.getByLabel("Message").fill("Hello");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("This is the Flow Layer sandbox").waitFor();
    await page.getByText("Where the time went").waitFor();
    await context.close();
  });

  test("the policy editor proposes members, values, providers and models by keyboard, and names faults by line", async () => {
    const { page, context, faults } = await signIn(browser, instance);
    await openPage(page, instance, "/routes/staging/best-reasoning");
    const policy = page.getByLabel("Policy", { exact: true });
    await policy.fill('{\n  "targets": [{ }]\n}');
    for (const key of ["Control+Home", "ArrowDown", "End", "ArrowLeft", "ArrowLeft", "Control+Space"]) {
      await page.keyboard.press(key);
    }
    const list = page.getByRole("listbox", { name: "Proposals" });
    await list.getByRole("option", { name: /^provider/ }).waitFor();
    expect(await seriousIssues(page)).toEqual([]);
    await page.keyboard.press("Enter");
    await list.getByRole("option", { name: /^sandbox configured/ }).waitFor();
    await page.keyboard.type("anth");
    await page.keyboard.press("Tab");
    await page.keyboard.type(', "mod');
    await page.keyboard.press("Enter");
    await list
      .getByRole("option", { name: /claude/ })
      .first()
      .waitFor();
    await page.keyboard.type("opus-5");
    await list
      .getByRole("option", { name: /claude-opus-5.*for a million tokens/ })
      .first()
      .waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await list.waitFor({ state: "detached" });
    const written = JSON.parse(await policy.inputValue()) as { targets: [{ provider: string; model: string }] };
    expect(written.targets[0]).toMatchObject({ provider: "anthropic", model: expect.stringContaining("opus-5") });
    await page.keyboard.press("Control+z");
    expect(await policy.inputValue()).not.toBe(JSON.stringify(written));
    await policy.fill('{\n  "targets": [],\n  "strategie": 1\n}');
    await page.getByText("strategie").first().waitFor();
    await page.getByRole("button", { name: "Line 3" }).click();
    expect(await page.evaluate("document.activeElement.selectionStart")).toBe(21);
    expect(faults).toEqual([]);
    await context.close();
  });

  describe.each(ROLES)("a token of the role %s", (role) => {
    test("opens every page without a refusal, and sees no control that would be refused", async () => {
      const { page, context, faults } = await signIn(browser, instance, tokenOf(role));
      const refused: string[] = [];
      page.on("response", (response) => response.status() === 403 && refused.push(response.url()));
      for (const address of CONSOLE_PAGES) {
        if (address === "/playground" && role !== "release") continue;
        await openPage(page, instance, address);
        expect(await page.getByRole("alert").allInnerTexts(), address).toEqual([]);
        if (role === "read") expect(await seriousIssues(page), address).toEqual([]);
        const buttons = await page.locator("main button").allInnerTexts();
        expect(
          buttons.filter((name) => CONTROLS[role].test(name.trim())),
          address,
        ).toEqual([]);
      }
      await openPage(page, instance, "/routes/production/best-reasoning");
      const editors = await page.getByLabel("Policy", { exact: true }).count();
      expect(editors).toBe(role === "release" ? 1 : 0);
      const buttons = await page.locator("main button").allInnerTexts();
      expect(buttons.filter((name) => CONTROLS[role].test(name.trim()))).toEqual([]);
      const playground = page.getByRole("navigation", { name: "Console" }).getByRole("link", { name: "Playground" });
      expect(await playground.count()).toBe(role === "release" ? 1 : 0);
      expect(refused).toEqual([]);
      expect(faults).toEqual([]);
      await context.close();
    });
  });

  test("hostile text in everything that the control plane answers is text", async () => {
    const { page, context, faults } = await signIn(browser, instance);
    await page.route(/\/admin\//, (route) =>
      route.request().method() === "GET" ? changed(route, (body) => hostile(body)) : route.continue(),
    );
    for (const address of CONSOLE_PAGES) {
      await openPage(page, instance, address);
      expect(await page.locator("main img").count(), address).toBe(0);
      expect(await page.title(), address).not.toBe("owned");
    }
    await openPage(page, instance, "/traces");
    await page.getByText(HOSTILE).first().waitFor();
    await page.getByRole("table", { name: "Traces" }).getByRole("row").nth(1).getByRole("link").click();
    await page.getByText("Where the time went").waitFor();
    await page.getByText(HOSTILE).first().waitFor();
    expect(await page.locator("main img").count()).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a control plane that answers 503 says what is wrong and what to do, and goes on when it is back", async () => {
    const { page, context } = await signIn(browser, instance);
    const error = {
      message: "The key ledgers do not answer.",
      type: "server_error",
      code: "ledger_unavailable",
      param: null,
    };
    await page.route(/\/admin\/keys/, (route) => route.fulfill({ status: 503, json: { error } }));
    await openPage(page, instance, "/keys");
    const alert = page.getByRole("alert");
    await alert.getByText("ledger_unavailable").waitFor();
    await alert.getByText("Try again; if it lasts").waitFor();
    await page.getByText("It was not read.").waitFor();
    expect(await page.getByText("There are no keys here").count()).toBe(0);
    expect(await seriousIssues(page)).toEqual([]);
    await page.unroute(/\/admin\/keys/);
    await alert.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("link", { name: "demo production" }).waitFor();
    expect(await alert.count()).toBe(0);
    await page.route(/\/admin\//, (route) => route.fulfill({ status: 503, json: { error } }));
    for (const address of [...CONSOLE_PAGES, "/routes/staging/fast-eval", "/keys/abcdefghijkl", "/traces/tr_x"]) {
      await openPage(page, instance, address);
      await alert.getByText("ledger_unavailable").first().waitFor();
      expect(await page.getByText("0 traces shown").count(), address).toBe(0);
    }
    await context.close();
  });

  test("a slow control plane is said to be slow; an answer that is no JSON is named by its status", async () => {
    const { page, context } = await signIn(browser, instance);
    let answer = (): void => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route(/\/admin\/budgets/, async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(`${instance.url}/console/budgets`);
    await page.getByText("The deployment has not answered for 3 s").waitFor();
    answer();
    await page.getByRole("table", { name: "Budgets" }).getByText("production", { exact: true }).waitFor();
    await page.route(/\/admin\/webhooks/, (route) => route.fulfill({ status: 502, body: "<html>Bad gateway</html>" }));
    await openPage(page, instance, "/webhooks");
    await page.getByRole("alert").getByText("502").first().waitFor();
    await context.close();
  });

  test("ten thousand traces scroll without a pause above 50 ms", async () => {
    const { page, context, faults } = await signIn(browser, instance);
    await page.route(/\/admin\/traces\?/, (route) => route.fulfill({ json: traceList(route.request().url(), MANY) }));
    await openPage(page, instance, "/traces");
    await expect
      .poll(
        async () => {
          await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)");
          return page.getByText("10,000 traces shown, and no more.").count();
        },
        { timeout: 30_000 },
      )
      .toBe(1);
    expect(await page.locator("table tbody tr").count()).toBeLessThan(300);
    const pause = (): Promise<number> => longestWorkOfAScroll(page);
    await expect.poll(pause, { timeout: 60_000, interval: 500 }).toBeLessThanOrEqual(PAUSE_MS);
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)");
    await expect.poll(() => page.evaluate(ROWS_IN_VIEW)).toBeGreaterThan(10);
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a chart of thirty days is drawn within 200 ms", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/?period=month".slice(1));
    await page.locator(".u-wrap canvas").first().waitFor();
    const took = (await page.evaluate("performance.getEntriesByName('chart').map(each => each.duration)")) as number[];
    expect(took.length).toBeGreaterThan(0);
    expect(Math.max(...took)).toBeLessThanOrEqual(CHART_MS);
    await context.close();
  });
});

const LISTS = [
  ...([
    ["/traces", "Traces"],
    ["/routes", "Routes"],
    ["/keys", "Keys"],
    ["/providers", "Providers"],
  ] as const),
  ...([
    ["/approvals", "Approvals"],
    ["/spend", "Spend"],
    ["/prices", "Prices"],
    ["/budgets", "Budgets"],
  ] as const),
  ...([
    ["/webhooks", "Webhooks"],
    ["/audit", "Audit"],
  ] as const),
] as const;

/** Buttons that a role must not see: the control plane would refuse them. */
const CONTROLS: Readonly<Record<(typeof ROLES)[number], RegExp>> = {
  read: /^(?:Create key|Rotate key|Revoke key|New route|Publish|Roll back|Promote|Approve|Deny|Send|Set price|Change|Reprice|New budget|New webhook|Disable|Add endpoint)$/,
  approve:
    /^(?:Create key|Rotate key|Revoke key|New route|Publish|Roll back|Promote|Send|Set price|Change|Reprice|New budget|New webhook|Disable|Add endpoint)$/,
  release: /^(?:Create key|Rotate key|Revoke key|Approve|Deny|New budget|New webhook|Disable|Add endpoint)$/,
};
