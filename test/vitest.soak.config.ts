/** `npm run test:soak`: properties with many more tries than a normal run has time for. */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: [
      "test/soak/**/*.soak.ts",
      "test/worker/bad-inputs.test.ts",
      "test/worker/fixtures.test.ts",
      "test/unit/providers/**/*.test.ts",
    ],
    env: { FLOW_SOAK: "1" },
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 900_000,
    hookTimeout: 60_000,
  },
});
