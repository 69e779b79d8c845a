/** The console as an operator uses it, from signing in to a decision; and what a hostile text in it does: nothing. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, type Instance, launch, seriousIssues, startInstance } from "./browser.ts";
import { CONSOLE_PAGES, HOSTILE, openPage, signIn } from "./console-page.ts";

const path = browserPath();
if (path === null) console.log("The console is not tested: there is no Chromium on this machine.");

describe.skipIf(path === null)("the console", () => {
  let instance: Instance;
  let browser: Browser;
  beforeAll(async () => {
    [instance, browser] = await Promise.all([startInstance(), launch(path ?? "")]);
    await prepare();
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });

  const admin = (address: string, init: RequestInit = {}): Promise<Response> =>
    fetch(instance.url + address, {
      ...init,
      headers: { authorization: `Bearer ${instance.adminToken}`, "content-type": "application/json" },
    });

  const chat = (model: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${instance.url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${instance.keys["production"]}`,
        "content-type": "application/json",
        ...headers,
      },
      body: JSON.stringify({ model, messages: [{ role: "user", content: HOSTILE }], ...body }),
    });

  /** Traffic with hostile names in it, and a tool call that waits. */
  async function prepare(): Promise<void> {
    await chat("flow/best-reasoning", { route: { tags: { team: HOSTILE } } });
    await chat("flow/no-such-route", {});
    const held = {
      targets: [{ provider: "sandbox", model: "agent-1", params: { tool_call: true } }],
      tools: { require_approval: true, delivery: "mark" },
    };
    await admin("/admin/routes/production/held", { method: "PUT", body: JSON.stringify(held) });
    const parameters = { type: "object", properties: { note: { type: "string", const: HOSTILE } } };
    await chat("flow/held", { tools: [{ type: "function", function: { name: "erase_disk", parameters } }] });
  }

  test("a wrong token is told what is wrong, and the right one signs in and out", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${instance.url}/console`);
    await page.getByLabel("Admin token").fill("no-such-token-no-such-token-no-such-token");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("The admin token is not valid").waitFor();
    await page.getByLabel("Admin token").fill(instance.adminToken);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin token").waitFor();
    expect(
      await page.evaluate(async () => (await fetch("/admin/keys", { headers: { "x-flowlayer-console": "1" } })).status),
    ).toBe(401);
    expect(await page.evaluate("document.cookie")).toBe("");
    await context.close();
  });

  describe.each(CONSOLE_PAGES)("/console%s", (address) => {
    test.each([
      { width: 390, colorScheme: "dark" },
      { width: 1440, colorScheme: "light" },
    ] as const)("fits $width px in $colorScheme and has no serious fault", async ({ width, colorScheme }) => {
      const { page, context, faults } = await signIn(browser, instance);
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await openPage(page, instance, address);
      expect(await page.locator("h1").count()).toBe(1);
      expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
      expect(await seriousIssues(page)).toEqual([]);
      expect(await page.getByRole("alert").allInnerTexts()).toEqual([]);
      expect(await page.title()).not.toBe("owned");
      expect(faults).toEqual([]);
      await context.close();
    });
  });

  test("a key is created; its secret is shown once, in its place", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/keys");
    await page.getByRole("button", { name: "Create key" }).click();
    await page.getByLabel("Name", { exact: true }).fill(HOSTILE);
    await page.getByLabel("Budget (USD)").fill("5");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    const secret = await page.getByLabel("API key").innerText();
    expect(secret.trim()).toMatch(/^fl_[a-z]+_[0-9A-Za-z]{12}_/);
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("link", { name: HOSTILE }).waitFor();
    await page.getByRole("link", { name: HOSTILE }).click();
    await page.getByRole("heading", { level: 1, name: HOSTILE }).waitFor();
    expect(await page.content()).not.toContain(secret.trim());
    expect(await page.title()).not.toBe("owned");
    await context.close();
  });

  test("a policy is published, refused where it is wrong, and rolled back", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/routes");
    await page.getByRole("button", { name: "New route" }).click();
    await page.getByLabel("Name", { exact: true }).fill("from-console");
    await page.getByRole("button", { name: "Write its policy" }).click();
    const policy = page.getByLabel("Policy", { exact: true });
    await policy.waitFor();
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText("version 1, published").waitFor();
    await policy.fill('{"targets":[{"provider":"sandbox","model":"deep-1"}],"strategie":"ordered"}');
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("alert").getByText("strategie").first().waitFor();
    await policy.fill('{"targets":[{"provider":"sandbox","model":"deep-2"}],"strategy":"fastest"}');
    await page.getByLabel("Reason", { exact: true }).fill("a test");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByText("version 2, published").waitFor();
    await page.getByRole("button", { name: "Roll back" }).click();
    await page.getByText("version 3, published").waitFor();
    expect(await policy.inputValue()).not.toContain("deep-2");
    await context.close();
  });

  test("two tabs: what somebody published meanwhile is shown next to the draft, and not overwritten", async () => {
    const { page, context } = await signIn(browser, instance);
    const put = (model: string): Promise<Response> =>
      admin("/admin/routes/staging/two-tabs", {
        method: "PUT",
        body: JSON.stringify({ targets: [{ provider: "sandbox", model }] }),
      });
    await put("one");
    await openPage(page, instance, "/routes/staging/two-tabs");
    const policy = page.getByLabel("Policy", { exact: true });
    await policy.fill('{"targets":[{"provider":"sandbox","model":"mine"}]}');
    await put("theirs");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("alert").getByText("version_mismatch").waitFor();
    await page.getByRole("heading", { name: "Published meanwhile: version 2" }).waitFor();
    expect(await policy.inputValue()).toContain("mine");
    await context.close();
  });

  test("a tool call that waits is shown with its arguments as text, and approved", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/approvals");
    const row = page.getByRole("row").filter({ hasText: "erase_disk" }).first();
    await row.waitFor();
    await row.getByLabel("Reason").fill("looked at");
    await row.getByRole("button", { name: "Approve" }).click();
    await page.getByText("No tool call waits.").waitFor();
    await page.getByLabel("Status").selectOption("approved");
    await page.getByRole("row").filter({ hasText: "looked at" }).waitFor();
    expect(await page.title()).not.toBe("owned");
    await context.close();
  });

  test("a trace is found by its id, with its attempts and a line to repeat it", async () => {
    const response = await chat("flow/best-reasoning", {}, { "x-client-request-id": "console-1" });
    const id = response.headers.get("x-flowlayer-trace-id") ?? "";
    const { page, context } = await signIn(browser, instance);
    await page.getByLabel("Search").fill(id);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: id }).waitFor();
    await page.getByRole("table", { name: "Attempts" }).waitFor();
    await page.getByText("YOUR MESSAGE").waitFor();
    expect(page.url()).toContain(id);
    await context.close();
  });

  test("an ended session is asked for again, and what was typed stays", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/routes/staging/best-reasoning");
    const policy = page.getByLabel("Policy", { exact: true });
    const draft = '{"targets":[{"provider":"sandbox","model":"kept"}]}';
    await policy.fill(draft);
    await context.clearCookies();
    await page.getByRole("button", { name: "Publish" }).click();
    const dialog = page.getByRole("dialog", { name: "Sign in again" });
    await dialog.getByLabel("Admin token").fill(instance.adminToken);
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(await policy.inputValue()).toBe(draft);
    await context.close();
  });
});
