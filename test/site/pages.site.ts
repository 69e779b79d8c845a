/** Every page as a visitor sees it: it loads, it is readable, it keeps to itself, and its links lead somewhere. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, faultsOf, type Instance, launch, seriousIssues, startInstance } from "./browser.ts";

const path = browserPath();
if (path === null) console.log("Pages are not tested: there is no Chromium on this machine.");

const PAGES = ["/", "/docs", "/docs/reference", "/docs/errors", "/docs/production", "/models", "/models/openai/gpt-5"];

describe.skipIf(path === null)("pages", () => {
  let instance: Instance;
  let browser: Browser;
  beforeAll(async () => {
    [instance, browser] = await Promise.all([startInstance(), launch(path ?? "")]);
  });
  afterAll(async () => {
    await browser.close();
    await instance.stop();
  });

  /** A page that fails the test on any error, foreign request or uncaught exception. */
  async function visit(
    address: string,
    options: Parameters<Browser["newContext"]>[0] = {},
  ): Promise<{ page: Page; faults: readonly string[] }> {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const faults = faultsOf(page, instance.url);
    const response = await page.goto(instance.url + address, { waitUntil: "networkidle" });
    expect(response?.status()).toBe(200);
    return { page, faults };
  }

  describe.each(PAGES)("%s", (address) => {
    test.each([
      { width: 390, colorScheme: "light" },
      { width: 390, colorScheme: "dark" },
      { width: 1440, colorScheme: "light" },
      { width: 1440, colorScheme: "dark" },
    ] as const)("fits $width px in $colorScheme, without an error", async ({ width, colorScheme }) => {
      const { page, faults } = await visit(address, { viewport: { width, height: 900 }, colorScheme });
      expect(await page.locator("h1").count()).toBe(1);
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(faults).toEqual([]);
      await page.context().close();
    });

    test("has no serious accessibility issue", async () => {
      // One provider stands for all rows: they are made by the same code, and axe takes a minute for 1,400 of them.
      const shown = address === "/models" ? "/models?provider=groq" : address;
      const { page } = await visit(shown, { bypassCSP: true });
      expect(await seriousIssues(page)).toEqual([]);
      await page.context().close();
    });

    test("is readable without script", async () => {
      const { page } = await visit(address, { javaScriptEnabled: false });
      expect((await page.locator("main").innerText()).length).toBeGreaterThan(100);
      await page.context().close();
    });

    test("has security headers", async () => {
      const { headers } = await fetch(instance.url + address, { headers: { accept: "text/html" } });
      expect(headers.get("content-security-policy")).not.toContain("unsafe-inline");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).not.toBeNull();
    });
  });

  test("every link and anchor leads somewhere", async () => {
    const broken: string[] = [];
    const seen = new Map<string, string>();
    const load = async (address: string): Promise<string> => {
      const known = seen.get(address);
      if (known !== undefined) return known;
      const response = await fetch(instance.url + address, { headers: { accept: "text/html" } });
      const text = response.status === 200 ? await response.text() : "";
      seen.set(address, text);
      return text;
    };
    for (const address of PAGES) {
      for (const [, href = ""] of (await load(address)).matchAll(/<a\b[^>]*\bhref="([^"]+)"/g)) {
        if (/^https?:/.test(href)) continue;
        const target = new URL(href.replaceAll("&amp;", "&"), instance.url + address);
        // One page per model: the first few stand for all, which are made by the same code.
        if (address === "/models" && seen.size > 60) continue;
        const text = await load(target.pathname);
        const anchor = decodeURIComponent(target.hash.slice(1));
        if (text === "" || (anchor !== "" && !text.includes(`id="${anchor}"`))) broken.push(`${address} → ${href}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test("the directory filters, sorts, compares and keeps its state in the address", async () => {
    const { page, faults } = await visit("/models?provider=openai");
    const rows = page.locator("table.models tbody tr");
    const all = await rows.count();
    await page.getByLabel("Search").fill("mini");
    await expect.poll(() => rows.count()).toBeLessThan(all);
    expect(page.url()).toContain("q=mini");
    await page.getByRole("button", { name: "Input $" }).click();
    expect(page.url()).toContain("sort=input");
    await rows.nth(0).getByRole("checkbox").check();
    await rows.nth(1).getByRole("checkbox").check();
    await expect.poll(() => page.getByRole("table", { name: "Comparison" }).count()).toBe(1);
    const shared = page.url();
    const again = await browser.newPage();
    await again.goto(shared, { waitUntil: "networkidle" });
    expect(await again.locator("table.models tbody tr").count()).toBe(await rows.count());
    expect(await again.getByRole("table", { name: "Comparison" }).count()).toBe(1);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("odd filters in the address show what there is, and no error", async () => {
    const { page, faults } = await visit(
      '/models?window=-5&input=abc&sort=__proto__&compare=a,b,c&q=<img src=x onerror="alert(1)">',
    );
    expect(await page.locator("table.models tbody tr").count()).toBe(0);
    expect(await page.locator("img").count()).toBe(0);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("the search of the documentation finds a code and a header", async () => {
    const { page } = await visit("/docs");
    await page.getByLabel("Search", { exact: true }).fill("budget_exceeded");
    await page.getByRole("link", { name: "Errors: budget_exceeded", exact: true }).click();
    await expect.poll(() => page.url()).toContain("/docs/errors#budget_exceeded");
    await page.context().close();
  });

  test("the snippets name this deployment, and the first one works as pasted", async () => {
    const { page } = await visit("/");
    const curl = await page.locator(".code code").first().innerText();
    expect(curl).toContain(instance.url);
    const { execFileSync } = await import("node:child_process");
    const output = execFileSync("bash", ["-c", curl.replace(/^curl /, "curl -s ")], {
      env: { ...process.env, FLOW_LAYER_API_KEY: instance.keys["production"] },
    }).toString();
    expect(JSON.parse(output)).toMatchObject({ object: "chat.completion", flow: { route: "flow/best-reasoning" } });
    await page.context().close();
  });

  test("a tab that was chosen is remembered on the next page", async () => {
    const { page } = await visit("/docs");
    await page.getByRole("tab", { name: "OpenAI Python" }).first().click();
    await page.reload({ waitUntil: "networkidle" });
    expect(await page.getByRole("tab", { name: "OpenAI Python" }).first().getAttribute("aria-selected")).toBe("true");
    await page.context().close();
  });

  test("an unknown address is a page for browsers and JSON for everybody else", async () => {
    const html = await fetch(`${instance.url}/nowhere`, { headers: { accept: "text/html,*/*" } });
    expect(html.status).toBe(404);
    expect(await html.text()).toContain("<h1>Not found</h1>");
    const json = await fetch(`${instance.url}/nowhere`);
    expect(json.status).toBe(404);
    expect(await json.json()).toMatchObject({ error: { code: "not_found" } });
    const api = await fetch(`${instance.url}/v1/nowhere`, { headers: { accept: "text/html" } });
    expect(api.headers.get("content-type")).toContain("application/json");
  });

  test("the root answers programs with an index and HEAD with 200", async () => {
    expect(await (await fetch(instance.url)).json()).toMatchObject({
      name: "The Flow Layer",
      docs: expect.any(String),
    });
    expect((await fetch(instance.url, { method: "HEAD" })).status).toBe(200);
  });

  test.each([
    "/docs.md",
    "/docs/errors.md",
    "/llms.txt",
    "/sitemap.xml",
    "/policy.schema.json",
    "/flow.d.ts",
    "/openapi.json",
  ])("%s is there for machines", async (address) => {
    const response = await fetch(instance.url + address);
    expect(response.status).toBe(200);
    expect((await response.text()).length).toBeGreaterThan(100);
  });
});
