import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Deadlines } from "../../../src/lib/time/deadline.ts";

/** What a client may still take when the time is over. */
const LAST_BYTES_MS = 1_000;
const NOW = 1_800_000_000_000;

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

/** A writer to a client that never reads. */
function stuckWriter(): WritableStreamDefaultWriter<Uint8Array> {
  return new WritableStream<Uint8Array>({ write: (_, { signal }) => rejectedBy(signal) }).getWriter();
}

const rejectedBy = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("Cut."))));

describe("a client that does not read", () => {
  test.each([
    { name: "a second after the end", endsAt: NOW + 5_000, cutMs: 5_000 + LAST_BYTES_MS },
    { name: "a second from now where the end is over", endsAt: NOW - 5_000, cutMs: LAST_BYTES_MS },
  ])("is waited for until $name, and no timer is left", async ({ endsAt, cutMs }) => {
    const deadlines = new Deadlines();
    const writer = stuckWriter();
    let isTaken: boolean | null = null;
    void deadlines.isTaken(writer.write(new Uint8Array(1)), endsAt, writer).then((taken) => {
      isTaken = taken;
    });
    await vi.advanceTimersByTimeAsync(cutMs - 1);
    expect(isTaken).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    expect(isTaken).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("a client that reads is never cut, however late its next write is", async () => {
  const deadlines = new Deadlines();
  const writer = new WritableStream<Uint8Array>().getWriter();
  const end = NOW + 1_000;
  expect(await deadlines.isTaken(writer.write(new Uint8Array(1)), end, writer)).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await deadlines.isTaken(writer.write(new Uint8Array(1)), end, writer)).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await deadlines.isTaken(writer.close(), end, writer)).toBe(true);
  deadlines.stop();
  expect(vi.getTimerCount()).toBe(0);
});
