/**
 * `node test/site/pictures.ts`: takes the pictures of the README again, from a fresh `npm start -- --demo`, as WebP
 * files under `.github/images/`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { browserPath, type Instance, launch, startInstance } from "./browser.ts";
import { signInOn } from "./console-page.ts";

const OUT = join(import.meta.dirname, "../../.github/images");
const SIZE = { width: 1280, height: 800 };
const SCALE = 1.5;
const QUALITY = 0.5;

type Step = (page: Page) => Promise<void>;

/** Name, address, and what is done before the picture. */
const PICTURES: readonly (readonly [name: string, address: string, step?: Step])[] = [
  ["home", "/"],
  ["models", "/models?q=claude&compare=anthropic%2Fclaude-opus-5%2Canthropic%2Fclaude-sonnet-5"],
  ["overview", "/console"],
  [
    "trace",
    "/console/traces?fallback=true",
    async (page) => {
      const table = page.getByRole("table", { name: "Traces" });
      await table.getByRole("button", { name: "Total" }).click();
      await table.getByRole("row").nth(1).getByRole("link").click();
      await page.getByText("Where the time went").waitFor();
    },
  ],
  [
    "route",
    "/console/routes/staging/best-reasoning",
    async (page) => {
      const policy = page.getByLabel("Policy");
      const draft = (await policy.inputValue()).replace('"ordered"', '"fastest"').replace('"sandbox"', '""');
      await policy.fill(draft);
      // Proposals for the provider of the first target, which is left empty.
      const keys = ["Control+Home", "ArrowDown", "ArrowDown", "ArrowDown", "End", "ArrowLeft", "ArrowLeft"];
      for (const key of [...keys, "Control+Space"]) await page.keyboard.press(key);
      await page.getByRole("listbox", { name: "Proposals" }).waitFor();
    },
  ],
  ["approvals", "/console/approvals"],
];

/** PNG to WebP, by the browser itself. */
async function webp(page: Page, png: Buffer): Promise<Buffer> {
  const url = (await page.evaluate(`(async () => {
    const bytes = Uint8Array.from(atob("${png.toString("base64")}"), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").drawImage(image, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: ${QUALITY} });
    return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
  })()`)) as string;
  return Buffer.from(url, "base64");
}

/** The large one of the README is there for dark readers, too. */
const IN_DARK = ["overview"];

async function take(browser: Browser, instance: Instance, colorScheme: "light" | "dark"): Promise<void> {
  const context = await browser.newContext({ viewport: SIZE, deviceScaleFactor: SCALE, colorScheme });
  const page = await context.newPage();
  await signInOn(page, instance);
  const blank = await context.newPage();
  for (const [name, address, step] of PICTURES) {
    if (colorScheme === "dark" && !IN_DARK.includes(name)) continue;
    await page.goto(instance.url + address, { waitUntil: "networkidle" });
    await step?.(page);
    // Charts are drawn once their library has come.
    await page.waitForTimeout(800);
    const file = join(OUT, `${name}-${colorScheme}.webp`);
    const picture = await webp(blank, await page.screenshot());
    await writeFile(file, picture);
    console.log(`${name}-${colorScheme}.webp ${Math.round(picture.length / 1024)} KiB`);
  }
  await context.close();
}

const path = browserPath();
if (path === null) throw new Error("There is no Chromium on this machine. Name one in CHROMIUM_PATH.");
await mkdir(OUT, { recursive: true });
const [instance, browser] = await Promise.all([startInstance(["--demo"]), launch(path)]);
try {
  for (const scheme of ["light", "dark"] as const) await take(browser, instance, scheme);
} finally {
  await browser.close();
  await instance.stop();
}
