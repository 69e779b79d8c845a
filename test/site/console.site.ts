/** The console as an operator uses it, from signing in to a decision; and what a hostile text in it does: nothing. */
import { readFile } from "node:fs/promises";
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
    [instance, browser] = await Promise.all([startInstance([], { FLOW_ADMIN_HOST: "localhost" }), launch(path ?? "")]);
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
    await page.getByRole("heading", { name: "Your draft" }).waitFor();
    expect(await policy.inputValue()).toContain("mine");
    // The draft is there after a reload, and still made from version 1.
    await page.reload({ waitUntil: "networkidle" });
    expect(await policy.inputValue()).toContain("mine");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("button", { name: "Replace version 2 with the draft" }).click();
    await page.getByText("version 3, published").waitFor();
    expect(await policy.inputValue()).toContain("mine");
    await context.close();
  });

  test("on another host than FLOW_ADMIN_HOST there is no console, nothing of it, and the page says where to ask", async () => {
    const other = instance.url.replace("localhost", "127.0.0.1");
    const { page: here, context: first } = await signIn(browser, instance);
    const files = await here.evaluate(LOADED_FILES);
    expect((files as string[]).length).toBeGreaterThanOrEqual(2);
    await first.close();
    const context = await browser.newContext();
    const page = await context.newPage();
    const response = await page.goto(`${other}/console/traces`);
    expect(response?.status()).toBe(404);
    await page.getByRole("heading", { level: 1, name: "Not found" }).waitFor();
    await page.getByText("serves it there only").waitFor();
    for (const address of [...(files as string[]), "/admin/keys"]) {
      expect((await fetch(other + address)).status, address).toBe(404);
    }
    const signedIn = await fetch(`${other}/console/session`, {
      method: "POST",
      headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
      body: JSON.stringify({ token: instance.adminToken }),
    });
    expect(signedIn.status).toBe(404);
    // Everything else is for everybody.
    for (const address of ["/", "/docs", "/models"]) expect((await fetch(other + address)).status).toBe(200);
    await context.close();
  });

  test("who is signed in sees more on the site: the deployment's state, a key, what it knows of a model", async () => {
    const { page, context, faults } = await signIn(browser, instance);
    await page.goto(instance.url);
    await page.getByRole("link", { name: "1 provider configured" }).waitFor();
    await page.goto(`${instance.url}/docs`);
    await page.getByLabel("Name", { exact: true }).fill("from the documentation");
    await page.getByRole("button", { name: "Create key" }).click();
    const secret = await page.getByLabel("API key").innerText();
    expect(secret).toMatch(/^fl_production_/);
    expect(await page.locator('[data-example="curl.sh"] code').innerText()).toContain(secret);
    await page.goto(`${instance.url}/models?here=configured`);
    await page.getByText("No model fits. Take a filter away.").waitFor();
    await page.getByLabel("Here", { exact: true }).selectOption("");
    await page.getByRole("columnheader", { name: "p95 ms" }).waitFor();
    expect(page.url()).not.toContain("here=");
    await page.goto(`${instance.url}/models/openai/gpt-5`);
    await page.getByText("In this deployment").waitFor();
    expect(await seriousIssues(page)).toEqual([]);
    await page.getByLabel("Add to route").selectOption("staging/fast-eval");
    await expect.poll(() => page.getByLabel("Policy", { exact: true }).inputValue()).toContain('"model": "gpt-5"');
    expect(faults).toEqual([]);
    await context.close();
    const anonymous = await browser.newPage();
    await anonymous.goto(`${instance.url}/models`, { waitUntil: "networkidle" });
    expect(await anonymous.getByRole("columnheader", { name: "p95 ms" }).count()).toBe(0);
    await anonymous.close();
  });

  test("several keys are paused at once; filters are kept as a view; a list is saved as lines", async () => {
    for (const name of ["one of two", "two of two"]) {
      await admin("/admin/keys", { method: "POST", body: JSON.stringify({ name, env: "staging" }) });
    }
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/keys");
    const keys = page.getByRole("row").filter({ hasText: "of two" });
    for (const at of [0, 1]) await keys.nth(at).getByRole("checkbox").check();
    await page.getByRole("button", { name: "Pause selected" }).click();
    await expect.poll(() => keys.filter({ hasText: "paused" }).count()).toBe(2);
    await openPage(page, instance, "/traces?status=ok");
    await page.getByLabel("Save these filters as").fill("went well");
    await page.getByRole("button", { name: "Save view" }).click();
    await openPage(page, instance, "/traces");
    await page.getByRole("link", { name: "went well" }).click();
    await expect.poll(() => page.url()).toContain("status=ok");
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save JSONL" }).click();
    const lines = (await readFile(await (await download).path(), "utf8")).trim().split("\n");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ id: expect.stringMatching(/^tr_/), status: "ok" });
    await context.close();
  });

  test("a budget for a tag and some keys is set from its form", async () => {
    const { page, context } = await signIn(browser, instance);
    await openPage(page, instance, "/budgets");
    await page.getByRole("button", { name: "New budget" }).click();
    await page.getByLabel("Name").fill("search-team");
    await page.getByLabel("Tag", { exact: true }).fill("team");
    await page.getByLabel("Value of the tag").fill("search");
    await page.getByLabel("Budget (USD)").fill("5");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("row").filter({ hasText: "tag team=search" }).waitFor();
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
    // A page that was refused meanwhile is read again by itself.
    await context.clearCookies();
    await page.goto(`${instance.url}/console/keys`);
    await dialog.getByLabel("Admin token").fill(instance.adminToken);
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: "npm start production" }).waitFor();
    expect(await page.getByRole("alert").count()).toBe(0);
    await context.close();
  });
});

/** Run in the page: scripts and styles that it loads. */
const LOADED_FILES = `[...document.querySelectorAll("script[src], link[rel=stylesheet]")]
  .map((each) => new URL(each.src || each.href).pathname)`;
