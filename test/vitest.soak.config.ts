/**
 * `npm run test:soak`: routing under faults at full load, then properties with many more tries than a normal run has
 * time for, then attacks. `npm run test:attack`: the last alone.
 */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const UNDER_LOAD = ["test/soak/outage.soak.ts", "test/soak/money*.soak.ts"];
/** `npm run test:attack` runs these alone. */
const ATTACKS = ["test/soak/attack*.soak.ts"];

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    env: { FLOW_SOAK: "1" },
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    testTimeout: 900_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        // First and alone: it measures, and the others take all the processor time there is.
        test: { name: "load", include: UNDER_LOAD, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: "tries",
          include: [
            "test/soak/**/*.soak.ts",
            "test/worker/bad-inputs.test.ts",
            "test/worker/fixtures.test.ts",
            "test/worker/openapi.test.ts",
            "test/worker/security-isolate.test.ts",
            "test/unit/**/*.test.ts",
          ],
          exclude: [...UNDER_LOAD, ...ATTACKS],
          maxWorkers: Math.max(2, availableParallelism()),
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: { name: "attack", include: ATTACKS, maxWorkers: 1, sequence: { groupOrder: 3 } },
      },
    ],
  },
});
