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
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 15_000,
    hookTimeout: 30_000,
  },
});
