/**
 * What one test file must not leave to the next, which may run in the same process: clocks, stubs, and what modules
 * remember. Packages stay loaded, as that is what makes a second file quick.
 */
import { afterAll, vi } from "vitest";

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;

afterAll(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.useRealTimers();
  // A clock that was stubbed while it was faked comes back as the fake one.
  Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate });
  vi.resetModules();
});
