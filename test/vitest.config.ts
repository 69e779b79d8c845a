/**
 * How the tests run: one bundle of the Worker per run, then files in parallel processes.
 *
 * Processes and not threads: a worker test owns a workerd child, and only a process that ends takes its children with it.
 */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/bench/**", "node_modules/**"],
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    // Worker tests wait for clocks more than they compute, so one more than there are processors.
    maxWorkers: Math.max(2, availableParallelism()) + 1,
    testTimeout: 15_000,
    hookTimeout: 30_000,
  },
});
