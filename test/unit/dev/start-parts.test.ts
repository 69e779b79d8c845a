import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { takeLock } from "../../../src/dev/lock.ts";
import { readOptions } from "../../../src/dev/options.ts";
import { StateDirectory } from "../../../src/dev/state.ts";

const root = mkdtempSync(join(tmpdir(), "flow-start-parts-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("a lock is held once, and free again after its release", () => {
  const path = join(root, "lock");
  const first = takeLock(path);
  expect(takeLock(path)).toEqual({ held: false, pid: process.pid });
  if (first.held) first.release();
  expect(existsSync(path)).toBe(false);
  const second = takeLock(path);
  expect(second.held).toBe(true);
  if (second.held) second.release();
});

test.each([
  { name: "a process that has ended", pid: () => spawnSync(process.execPath, ["-e", ""]).pid, ageMs: 0 },
  { name: "a process id that another program got", pid: () => process.pid, ageMs: 60_000 },
  { name: "a file that is none", pid: () => "x", ageMs: 0 },
])("a lock of $name is taken over", ({ pid, ageMs }) => {
  const path = join(root, "stale");
  writeFileSync(path, `${pid()}\n`);
  const at = new Date(Date.now() - ageMs);
  utimesSync(path, at, at);
  const taken = takeLock(path);
  expect(taken.held).toBe(true);
  if (taken.held) taken.release();
});

test("its own options are taken out, the rest goes to wrangler", () => {
  expect(readOptions(["--", "--port", "9000", "--json", "--reseed", "--demo", "--var", "A:1"])).toEqual({
    ...{ json: true, reseed: true, demo: true, port: 9000 },
    wrangler: ["--port", "9000", "--var", "A:1"],
  });
  expect(readOptions([])).toEqual({ json: false, reseed: false, demo: false, port: undefined, wrangler: [] });
});

test.each(["abc", "-1", "65536", "1e3", ""])("port `%s` is refused with the range", (port) => {
  expect(() => readOptions([`--port=${port}`])).toThrow("0 to 65535");
});

test("damaged secrets are no first start: the message says what is lost", () => {
  const state = new StateDirectory(join(root, "damaged"));
  writeFileSync(state.file("secrets.json"), '{"pepper":');
  expect(() => state.secrets()).toThrow(/is damaged.*keys made so far stop working/);
});

test("a place that cannot be a directory says so", () => {
  writeFileSync(join(root, "file"), "");
  expect(() => new StateDirectory(join(root, "file", "below"))).toThrow(/cannot be written to .*FLOWLAYER_DIR/);
});
