/**
 * How the tests run: one bundle of the Worker per run, then files in parallel processes.
 *
 * Processes and not threads: a worker test owns a workerd child, and only a process that ends takes its children with it.
 */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./support/order.ts";

/** Files whose process has to be new, as a package reads its environment when it is loaded. */
const OWN_PROCESS = ["test/worker/provider-faults.test.ts"];

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    // Worker tests wait for clocks more than they compute, so three more than there are processors.
    maxWorkers: Math.max(2, availableParallelism()) + 3,
    sequence: { sequencer: LongestFirst },
    // Bounds that tell an end from a hang on a machine with much else to do; none of them measures.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    projects: [
      { extends: true, test: { name: "own process", include: OWN_PROCESS } },
      {
        extends: true,
        test: {
          name: "shared process",
          include: ["test/**/*.test.ts"],
          // Clients run with `npm run test:clients`.
          exclude: ["test/bench/**", "test/clients/**", "**/node_modules/**", ...OWN_PROCESS],
          // Starting a process and loading the packages again for every file took a fifth of the processor time.
          isolate: false,
          setupFiles: ["test/support/between-files.ts"],
        },
      },
    ],
  },
});
