/**
 * Clients from npm that are too large for the project's own dependencies: `.clients/<name>`, made from the pinned
 * `package.json` and its lockfile once per version.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = new URL("../..", import.meta.url).pathname;
const INSTALL_MS = 200_000;
const FILES = ["package.json", "package-lock.json"] as const;

export interface Installed {
  /** The folder with `node_modules`, or `null` with the reason. */
  readonly folder: string | null;
  readonly reason: string;
}

/** `name`: a folder of `test/clients` with a `package.json`. */
export function installed(name: string): Installed {
  const source = new URL(`./${name}/`, import.meta.url).pathname;
  const folder = join(ROOT, ".clients", name);
  const wanted = createHash("sha256");
  for (const file of FILES) wanted.update(readFileSync(join(source, file)));
  const hash = wanted.digest("hex");
  const stamp = join(folder, "lock.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return { folder, reason: "" };
  mkdirSync(folder, { recursive: true });
  for (const file of FILES) copyFileSync(join(source, file), join(folder, file));
  const { status, error, stderr } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    timeout: INSTALL_MS,
  });
  if (status !== 0) {
    const said = `${stderr ?? ""}${error?.message ?? ""}`.trim().split("\n").at(0) ?? "";
    return { folder: null, reason: `npm could not install ${name}: ${said}` };
  }
  writeFileSync(stamp, hash);
  return { folder, reason: "" };
}

/** What a child may see: nothing of this machine's settings, and no network but this machine. */
export function isolatedEnv(home: string): Readonly<Record<string, string>> {
  const nowhere = "http://127.0.0.1:9";
  return {
    ...{ PATH: process.env["PATH"] ?? "", HOME: home, LANG: "C.UTF-8" },
    ...{ HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere, NO_PROXY: "127.0.0.1,localhost" },
  };
}
