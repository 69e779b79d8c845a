/** The examples in Python, where there is one that has the packages. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ExampleRig, startExamples } from "./example-runner.ts";
import { pythonOf } from "./venv.ts";

const EXAMPLES = readdirSync(new URL("./examples", import.meta.url).pathname).filter((name) => name.endsWith(".py"));
const { python, reason } = pythonOf();
if (python === null) console.log(`Python examples are skipped: ${reason}`);

describe.skipIf(python === null)("examples", () => {
  let rig: ExampleRig;
  beforeAll(async () => {
    rig = await startExamples();
  }, 60_000);
  afterAll(() => rig.stop());

  test.each(EXAMPLES)(
    "%s",
    async (name) => {
      expect(await rig.run(name, python ?? "")).toContain("sandbox");
    },
    120_000,
  );
});
