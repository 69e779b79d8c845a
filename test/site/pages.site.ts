/** Every page as a visitor sees it: it loads, it is readable, it keeps to itself, and its links lead somewhere. */
import { gzipSync } from "node:zlib";
import type { APIResponse, Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, faultsOf, type Instance, launch, seriousIssues, startInstance } from "./browser.ts";

const path = browserPath();
if (path === null) console.log("Pages are not tested: there is no Chromium on this machine.");

const PAGES = [
  ...["/", "/docs", "/docs/reference", "/docs/errors", "/docs/production", "/models", "/models/openai"],
  ...["/models/openai/gpt-5"],
];
const KIB = 1024;
/** What a page and all that it loads may weigh, compressed. */
const MOST_BYTES = 60 * KIB;
const MOST_OF_LARGE: Readonly<Record<string, number>> = { "/models": 150 * KIB, "/console": 150 * KIB };
/** A filter that has to be done before the next frame of a screen with 60 of them a second. */
const FRAME_MS = 1_000 / 60;

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

    test.each([390, 1440])("moves nothing while it loads, at %i px", async (width) => {
      const context = await browser.newContext({ viewport: { width, height: 900 } });
      const page = await context.newPage();
      await page.addInitScript(WATCH_SHIFTS);
      await page.goto(instance.url + address, { waitUntil: "networkidle" });
      expect(await page.evaluate("window.shifted")).toBeLessThan(MOST_SHIFT);
      await context.close();
    });

    test("is readable without script", async () => {
      const { page } = await visit(address, { javaScriptEnabled: false });
      expect((await page.locator("main").innerText()).length).toBeGreaterThan(100);
      expect(await page.locator(".filters").isVisible()).toBe(false);
      await page.context().close();
    });

    test("has security headers", async () => {
      const { headers } = await fetch(instance.url + address, { headers: { accept: "text/html" } });
      expect(headers.get("content-security-policy")).not.toContain("unsafe-inline");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).not.toBeNull();
    });
  });

  test("on paper a page is dark on light, whatever the screen is", async () => {
    const { page } = await visit("/docs", { colorScheme: "dark" });
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    const inkOf = "getComputedStyle(document.documentElement).getPropertyValue('--ink')";
    expect(await page.evaluate(inkOf)).toBe("#1c2326");
    expect(await page.locator("header.top").isVisible()).toBe(false);
    await page.context().close();
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

  test.each([...PAGES, "/console"])("%s and all that it loads is light", async (address) => {
    const load = async (path: string): Promise<string> =>
      (await fetch(instance.url + path, { headers: { accept: "text/html" } })).text();
    const html = await load(address);
    const linked = [...html.matchAll(/(?:src|href)="(\/(?:assets|console)\/[^"]+)"/g)].map(([, path = ""]) => path);
    const scripts = await Promise.all(linked.map(load));
    // What a script fetches later, such as the charts, counts with it.
    const later = scripts.flatMap((text) => [...text.matchAll(/import\("\.\/([^"]+)"\)/g)]);
    const texts = [html, ...scripts, ...(await Promise.all(later.map(([, name = ""]) => load(`/console/${name}`))))];
    const bytes = texts.reduce((sum, text) => sum + gzipSync(text).length, 0);
    expect(bytes).toBeLessThanOrEqual(MOST_OF_LARGE[address] ?? MOST_BYTES);
  });

  test("the directory answers each key within a frame, with 1,500 rows", async () => {
    const { page } = await visit("/models");
    await page.locator("table.models tbody tr").first().waitFor();
    expect(await page.locator("[data-filters] output").innerText()).toMatch(/^1,[0-9]{3} of 1,[0-9]{3} models$/);
    // Only what is near the view is in the document, and what else runs on the machine can only make it slower.
    expect(await page.locator("table.models tbody tr").count()).toBeLessThan(120);
    const best = async (): Promise<number> => Math.min(...((await page.evaluate(TIMES_OF_KEYS)) as number[]));
    await expect.poll(best, { timeout: 20_000, interval: 500 }).toBeLessThanOrEqual(FRAME_MS);
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)");
    await expect.poll(() => page.locator("table.models tbody tr").last().innerText()).not.toContain("gpt-4.1");
    await page.context().close();
  });

  test("columns are chosen, and the address keeps them", async () => {
    const { page, faults } = await visit("/models?provider=openai&hide=status");
    await page.getByText("Columns", { exact: true }).click();
    expect(await page.getByRole("columnheader", { name: "Status" }).count()).toBe(0);
    await page.getByRole("checkbox", { name: "Released" }).uncheck();
    expect(page.url()).toContain("hide=status%2Creleased");
    await page.reload({ waitUntil: "networkidle" });
    expect(await page.getByRole("columnheader", { name: "Released" }).count()).toBe(0);
    expect(await page.getByRole("columnheader", { name: "Modalities" }).count()).toBe(1);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("an answer is run from the page, live, with each of its headers explained", async () => {
    const { page, faults } = await visit("/docs");
    await page.getByRole("button", { name: "Run it" }).click();
    await page.getByText("Live, answered by this deployment's sandbox.").waitFor();
    const rows = page.locator(".headers.explained div");
    await rows.filter({ hasText: "x-flowlayer-provider" }).getByText("sandbox").waitFor();
    await rows.filter({ hasText: "x-flowlayer-cost-usd" }).getByText("What it cost").waitFor();
    await page.goto(instance.url, { waitUntil: "networkidle" });
    await page.getByRole("button", { name: "Run it against the sandbox" }).click();
    await page.locator("[data-run-attempts]").getByText("sandbox/deep-1").waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("every example of the developer channel runs from its page, or says why it does not", async () => {
    const { page, faults } = await visit("/docs");
    // Ten runs a minute are allowed: equal requests are sent once, and one too many waits.
    const answers = new Map<string | null, APIResponse>();
    await page.route("**/docs/run", async (route) => {
      const asked = route.request().postData();
      let response = answers.get(asked) ?? (await route.fetch());
      while (response.status() === 429) {
        await new Promise((resolve) => setTimeout(resolve, 5_000));
        response = await route.fetch();
      }
      answers.set(asked, response);
      await route.fulfill({ response });
    });
    await page.getByRole("button", { name: "Run it" }).waitFor();
    const names = (await page.evaluate(EXAMPLE_NAMES)) as string[];
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      // The first one has the box with the recording below it.
      if (name === "curl.sh") continue;
      const example = page.locator(`[data-example="${name}"]`);
      // One in a tab that is not chosen is pressed all the same.
      const button = example.locator("button.run");
      const why = await example.locator(".not-run").count();
      expect((await button.count()) + why, name).toBe(1);
      if (why === 1) continue;
      await button.dispatchEvent("click");
      await example.getByText("Live, answered by this deployment's sandbox.").waitFor({ state: "attached" });
      await expect.poll(() => example.locator(".run-answer").textContent()).toMatch(/sandbox answering|search_docs/);
      expect(await example.locator(".words").count(), name).toBeGreaterThan(8);
    }
    expect(await (await fetch(`${instance.url}/docs.md`)).text()).not.toContain("example=");
    expect(faults).toEqual([]);
    await page.context().close();
  }, 150_000);

  test("the home page tells its story on one screen, and hands on from it", async () => {
    const { page } = await visit("/", { viewport: { width: 1440, height: 900 } });
    for (const part of [".routed", ".pitch .code", ".home > section .cards", ".doors"]) {
      await expect
        .poll(() => page.evaluate(`document.querySelector("${part}").getBoundingClientRect().bottom`))
        .toBeLessThanOrEqual(900);
    }
    await page.context().close();
  });

  test("without a sandbox nothing can be run, and the recording says that it is one", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route(`${instance.url}/`, (route) =>
      (route.request().headers()["accept"] ?? "").includes("text/html")
        ? route.continue()
        : route.fulfill({ json: { name: "The Flow Layer" } }),
    );
    await page.goto(`${instance.url}/docs`, { waitUntil: "networkidle" });
    expect(await page.getByRole("button", { name: "Run it" }).count()).toBe(0);
    await page.getByText("A recording of such an answer.").waitFor();
    await context.close();
  });

  test("from the home page alone to a first routed request, by a key that the console makes", async () => {
    const { page, faults } = await visit("/");
    const curl = await page.locator(".code code").first().innerText();
    await page.getByRole("link", { name: "Open the console" }).click();
    await page.getByLabel("Admin token").fill(instance.adminToken);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: "Keys" }).click();
    await page.getByRole("button", { name: "Create key" }).click();
    await page.getByLabel("Name", { exact: true }).fill("first");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    const secret = (await page.getByLabel("API key").innerText()).trim();
    const { execFileSync } = await import("node:child_process");
    const output = execFileSync("bash", ["-c", curl.replace(/^curl /, "curl -s ")], {
      env: { ...process.env, FLOW_LAYER_API_KEY: secret },
    }).toString();
    expect(JSON.parse(output)).toMatchObject({ object: "chat.completion", flow: { route: "flow/best-reasoning" } });
    expect(faults).toEqual([]);
    await page.context().close();
  });

  test("a model's page says what it takes, what it costs elsewhere, and what came after it", async () => {
    const { page } = await visit("/models/openai/gpt-4o-2024-05-13");
    await page.getByText("Newer in this family:").waitFor();
    await page.getByText("Token limit", { exact: true }).waitFor();
    await page.getByText("max_completion_tokens").waitFor();
    await page.getByText("Confidence:").waitFor();
    await page.goto(`${instance.url}/models/openai/gpt-5`);
    await page.getByRole("table", { name: "Also served by" }).getByText("azure/gpt-5", { exact: true }).waitFor();
    await page.context().close();
  });

  test("the reference has every member of a policy and every operation, from their sources", async () => {
    const text = await (await fetch(`${instance.url}/docs/reference.md`)).text();
    const schema = (await (await fetch(`${instance.url}/policy.schema.json`)).json()) as { properties: object };
    for (const name of Object.keys(schema.properties))
      if (name !== "$schema") expect(text).toContain(`| \`${name}\` |`);
    const { paths } = (await (await fetch(`${instance.url}/openapi.json`)).json()) as { paths: Record<string, object> };
    for (const [path, methods] of Object.entries(paths)) {
      for (const method of Object.keys(methods)) expect(text).toContain(`\`${method.toUpperCase()} ${path}\``);
    }
    expect(text).not.toContain("<!--");
    expect(await (await fetch(`${instance.url}/docs.md`)).text()).not.toContain("<!--");
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

/** Run in the page. */
const EXAMPLE_NAMES = `[...document.querySelectorAll(".code[data-example]")].map((each) => each.dataset.example)`;

/** What counts as still, https://web.dev/articles/cls; half of it, because what we load comes from near. */
const MOST_SHIFT = 0.05;

/** Run before the page: adds up how far what was there has moved. */
const WATCH_SHIFTS = `window.shifted = 0;
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.shifted += value;
}).observe({ type: "layout-shift", buffered: true });`;

/** Run in the page: from a key of the search to the rows laid out, ms, for a few searches. */
const TIMES_OF_KEYS = `(async () => {
  const times = [];
  const field = document.querySelector("input[name=q]");
  for (const text of ["g", "gp", "gpt", "", "mini", "", "claude", "", "flash", ""]) {
    const startedAt = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input"));
    document.body.getBoundingClientRect();
    times.push(performance.now() - startedAt);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return times;
})()`;
