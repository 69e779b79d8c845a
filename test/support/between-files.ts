/**
 * What one test file must not leave to the next, which may run in the same process: clocks, stubs, and what modules
 * remember. Packages stay loaded, as that is what makes a second file quick.
 */
import { afterAll, expect, vi } from "vitest";

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;

/**
 * Tests of code that remembers nothing, about half of all files: they use modules as they find them and leave them so.
 * To load these again for each costs as much as the tests themselves.
 */
const PURE = /\/test\/unit\/(?:catalog|conversation|embedding|openapi|policy|pricing|providers|wires)\//;

afterAll(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.useRealTimers();
  // A clock that was stubbed while it was faked comes back as the fake one.
  Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate });
  if (!PURE.test(expect.getState().testPath ?? "")) vi.resetModules();
});
