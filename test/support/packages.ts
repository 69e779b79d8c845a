/**
 * Packages that few tests need and that are too large for everybody's `npm ci`: `test/clients` and `test/site` have a
 * `package.json` and a lockfile of their own, which `npm run test:clients` and `test:site` install first.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const INSTALL_MS = 200_000;
const FILES = ["package.json", "package-lock.json"] as const;

/**
 * Installs what the lockfile in `source` names into `folder`, once per content of the two files. Gives what npm said
 * against it, or `null`.
 */
export function install(source: string, folder = source): string | null {
  const wanted = createHash("sha256");
  for (const file of FILES) wanted.update(readFileSync(join(source, file)));
  const hash = wanted.digest("hex");
  const stamp = join(folder, "node_modules/.lock.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return null;
  mkdirSync(folder, { recursive: true });
  if (folder !== source) for (const file of FILES) copyFileSync(join(source, file), join(folder, file));
  const { status, error, stderr } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
    timeout: INSTALL_MS,
    encoding: "utf8",
  });
  if (status !== 0) return `${stderr ?? ""}${error?.message ?? ""}`.trim().split("\n").at(0) || "it gave no reason";
  writeFileSync(stamp, hash);
  return null;
}

/** `node test/support/packages.ts test/clients`. */
if (import.meta.main) {
  for (const name of process.argv.slice(2)) {
    const fault = install(new URL(`../../${name}`, import.meta.url).pathname);
    if (fault === null) continue;
    console.error(
      `The packages of ${name} were not installed, npm said: ${fault}\nRun \`npm ci\` in ${name} yourself.`,
    );
    process.exitCode = 1;
  }
}
