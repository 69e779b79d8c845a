/** A Python with the pinned clients: `.venv` at the project's root, made once per `requirements.txt`. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = new URL("../..", import.meta.url).pathname;
const REQUIREMENTS = new URL("./requirements.txt", import.meta.url).pathname;
const VENV = join(ROOT, ".venv");
/** The pinned packages need it. */
const OLDEST_MINOR = 10;
const INSTALL_MS = 240_000;

export interface Python {
  /** The interpreter, or `null` with the reason. */
  readonly python: string | null;
  readonly reason: string;
}

export function pythonOf(): Python {
  const version =
    spawnSync("python3", ["-c", "import sys; print(sys.version_info[1])"]).stdout?.toString().trim() ?? "";
  if (version === "") return { python: null, reason: "there is no python3 on this machine." };
  if (Number(version) < OLDEST_MINOR)
    return { python: null, reason: `Python 3.${version} is older than 3.${OLDEST_MINOR}.` };
  const python = join(VENV, "bin", "python");
  const wanted = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  const stamp = join(VENV, "requirements.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return { python, reason: "" };
  const made = spawnSync("python3", ["-m", "venv", VENV]);
  if (made.status !== 0) return { python: null, reason: `no virtual environment could be made: ${last(made.stderr)}` };
  // All versions are pinned, so nothing has to be resolved.
  const installed = spawnSync(python, ["-m", "pip", "install", "-q", "--no-deps", "-r", REQUIREMENTS], {
    timeout: INSTALL_MS,
  });
  if (installed.status !== 0)
    return { python: null, reason: `pip could not install the clients: ${last(installed.stderr)}` };
  writeFileSync(stamp, wanted);
  return { python, reason: "" };
}

const last = (output: Buffer): string => output.toString().trim().split("\n").at(-1) ?? "";
