/**
 * `npm run test:clients`: clients as their users run them. Those of the project's own packages are `*.test.ts`; those of
 * other languages and large ones are `*.clients.ts` and may be left out, with the reason.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    globalSetup: ["test/support/build.ts"],
    pool: "forks",
    include: ["test/clients/**/*.{clients,test}.ts"],
    // One installs what the next one needs.
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
