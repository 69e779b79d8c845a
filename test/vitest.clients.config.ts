/** `npm run test:clients`: clients of other languages and large ones, as their users run them. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    include: ["test/clients/**/*.clients.ts"],
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
