/** The package as `npm pack` makes it, in a folder of its own: no sources, no packages beside it. */
import { execFile } from "node:child_process";
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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

/** A package that a file imports, without the rest of the path. */
const IMPORT = /^(?:import|(?:import|export|\}).* from) "((?:@[a-z-]+\/)?[a-z][a-z\d.-]*)(?:\/[^":]*)?";$/gm;

describe("the lockfiles", () => {
  const audit = readFileSync(join(ROOT, ".ci/audit"), "utf8");
  const folders = globSync("test/**/package-lock.json", { cwd: ROOT, exclude: (path) => path.includes("node_modules") })
    .map((path) => dirname(path))
    .toSorted();

  test("each is audited and kept up to date", () => {
    expect(folders).toEqual(["test/clients", "test/clients/cli", "test/site"]);
    expect(audit).toContain(`for folder in . ${folders.join(" ")};`);
    const quoted = folders.map((folder) => `"/${folder}"`).join(", ");
    expect(readFileSync(join(ROOT, ".github/dependabot.yml"), "utf8")).toContain(`directories: [${quoted}]`);
  });

  test("what `npm test` runs needs the packages of `npm ci` only", () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const files = globSync("test/{unit,worker,dev,lint,support}/**/*.ts", { cwd: ROOT });
    const found = files.flatMap((path) =>
      [...readFileSync(join(ROOT, path), "utf8").matchAll(IMPORT)]
        .filter(([, name = ""]) => !Object.hasOwn(devDependencies, name))
        .map(([, name]) => `${path}: ${name} belongs into test/clients or test/site`),
    );
    expect(files.length).toBeGreaterThan(100);
    expect(found).toEqual([]);
  });

  test("what the audit calls shipped is what the source imports, and is pinned exactly", () => {
    const sources = globSync("src/**/*.{ts,tsx}", { cwd: ROOT }).filter((path) => !path.endsWith("build.ts"));
    const imported = sources.flatMap((path) =>
      [
        ...readFileSync(join(ROOT, path), "utf8").matchAll(
          /^(?:import|export) .*from "([a-z@][^"/:]*)(?:\/[^":]*)?";$/gm,
        ),
      ].map(([, name]) => `"${name}"`),
    );
    expect(audit).toContain(`const shipped = [${[...new Set(imported)].toSorted().join(", ")}];`);
    for (const folder of [".", ...folders]) {
      const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));
      for (const version of Object.values({ ...dependencies, ...devDependencies })) {
        expect(version).toMatch(/^\d+\.\d+\.\d+(-[a-z]+(\.\d+)?)?$/);
      }
    }
  });
});
