/** The package as `npm pack` makes it, in a folder of its own: no sources, no packages beside it. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VERSION } from "../../src/cli/version.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "flow-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  await run("npm", ["pack", "--pack-destination", folder], { cwd: ROOT });
  const [name = ""] = readdirSync(folder);
  await run("tar", ["-xzf", name], { cwd: folder });
}, 60_000);

test("it holds the command, what is said of it, and nothing else", () => {
  const files = readdirSync(join(folder, "package"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  expect(files.toSorted()).toEqual(["LICENSE", "README.md", "cli.js", "flow-layer.js", "package.json"]);
  const { dependencies, version, bin } = JSON.parse(readFileSync(join(folder, "package/package.json"), "utf8"));
  expect([dependencies, version]).toEqual([undefined, VERSION]);
  expect(Object.keys(bin)).toEqual(["flow-layer", "flow"]);
});

test("the command runs outside the checkout", async () => {
  const env = { PATH: process.env["PATH"] ?? "", HOME: folder };
  const command = join(folder, "package/.dist/cli.js");
  const { stdout } = await run(process.execPath, [command, "--version"], { cwd: folder, env });
  expect(stdout.trim()).toBe(VERSION);
  const failed = run(process.execPath, [command, "keys", "list"], { cwd: folder, env });
  await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("No host is known here") });
});
