/** A wait has an end, whatever is waited for; a failed call is repeated once, and never into an overload. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { callWithRetry } from "../../../src/durable/call.ts";
import { withTimeout } from "../../../src/lib/time/with-timeout.ts";
import { stubScheduler } from "../../support/scheduler.ts";

beforeEach(() => {
  vi.useFakeTimers();
  stubScheduler();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const never = (): Promise<never> => new Promise(() => {});
const failing = (error: Error) =>
  vi.fn<() => Promise<string>>().mockRejectedValueOnce(error).mockResolvedValue("second");

test("what comes in time is given, a rejection too, and no timer is left", async () => {
  expect(await withTimeout(1_000, async () => "answer")).toBe("answer");
  await expect(withTimeout(1_000, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(vi.getTimerCount()).toBe(0);
});

test("what takes longer, or is not wanted any more, rejects", async () => {
  const late = expect(withTimeout(1_000, never)).rejects.toThrow("No answer in time.");
  await vi.advanceTimersByTimeAsync(1_000);
  await late;
  const control = new AbortController();
  const left = expect(withTimeout(1_000, never, control.signal)).rejects.toThrow();
  control.abort();
  await left;
  expect(vi.getTimerCount()).toBe(0);
});

test("a call that fails is made once more, one that was refused for overload is not", async () => {
  const broken = failing(new Error("Network connection lost."));
  expect(await callWithRetry(1_000, broken)).toBe("second");
  const overloaded = failing(Object.assign(new Error("too many"), { overloaded: true }));
  await expect(callWithRetry(1_000, overloaded)).rejects.toThrow("too many");
  expect([broken.mock.calls.length, overloaded.mock.calls.length]).toEqual([2, 1]);
});
