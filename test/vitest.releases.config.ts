/** `npm run test:releases`: the release before on this one's state, and this one on its. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    pool: "forks",
    include: ["test/releases/**/*.releases.ts"],
    globalSetup: ["test/support/build.ts"],
    maxWorkers: 1,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
