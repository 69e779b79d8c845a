/** JavaScript clients of Messages and Responses, unmodified: each program under `node/` prints one line per check. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { install } from "../support/packages.ts";
import type { Rig } from "../support/rig.ts";
import { linesOf } from "./answers.ts";
import { startDoors } from "./door-routes.ts";

const SOURCE = new URL("./node/", import.meta.url).pathname;
const PROGRAMS = readdirSync(SOURCE).filter((file) => file.endsWith(".client.mjs"));
// `npm run test:clients` has done it. Some are not among the packages of a checkout that ran only this file.
const fault = install(new URL(".", import.meta.url).pathname);
if (fault !== null) console.log(`JavaScript clients are left out: npm said ${fault}`);

describe.skipIf(fault !== null)("JavaScript clients", () => {
  let rig: Rig;
  let key: string;
  beforeAll(async () => {
    ({ rig, key } = await startDoors());
  }, 60_000);
  afterAll(() => rig.stop());

  test.each(PROGRAMS)("%s", async (file) => {
    const env = { ...process.env, FLOW_TEST_URL: rig.worker.url, FLOW_TEST_KEY: key };
    const { stdout } = await promisify(execFile)(process.execPath, [join(SOURCE, file)], {
      env,
      timeout: 50_000,
    });
    const lines = linesOf(stdout);
    expect(lines.filter(({ ok }) => !ok)).toEqual([]);
    expect(lines.at(-1)?.check).toBe("all checks ran");
  });
});
