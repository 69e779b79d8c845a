/**
 * JavaScript clients of Messages and Responses, unmodified: each program under `node/` prints one line per check.
 *
 * They are installed into `.clients/node` from the pinned `node/package.json`. Where npm cannot, the reason is printed and
 * they are skipped.
 */
import { execFile } from "node:child_process";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Rig } from "../support/rig.ts";
import { linesOf } from "./answers.ts";
import { startDoors } from "./door-routes.ts";
import { installed } from "./installs.ts";

const SOURCE = new URL("./node/", import.meta.url).pathname;
const PROGRAMS = readdirSync(SOURCE).filter((file) => file.endsWith(".client.mjs"));
const { folder, reason } = installed("node");
if (folder === null) console.log(`JavaScript clients are left out: ${reason}`);

describe.skipIf(folder === null)("JavaScript clients", () => {
  let rig: Rig;
  let key: string;
  beforeAll(async () => {
    for (const file of readdirSync(SOURCE).filter((each) => each.endsWith(".mjs"))) {
      copyFileSync(join(SOURCE, file), join(folder ?? "", file));
    }
    ({ rig, key } = await startDoors());
  }, 60_000);
  afterAll(() => rig.stop());

  test.each(PROGRAMS)("%s", async (file) => {
    const env = { ...process.env, FLOW_TEST_URL: rig.worker.url, FLOW_TEST_KEY: key };
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder ?? "", file)], {
      env,
      timeout: 50_000,
    });
    const lines = linesOf(stdout);
    expect(lines.filter(({ ok }) => !ok)).toEqual([]);
    expect(lines.at(-1)?.check).toBe("all checks ran");
  });
});
