import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Release } from "../../../../src/approvals/release.ts";
import type { StoredStep } from "../../../../src/approvals/types.ts";
import { Deadlines } from "../../../../src/lib/time/deadline.ts";
import type { ToolApproval } from "../../../../src/relay/approval/approval.ts";
import { releasedStream } from "../../../../src/relay/approval/resume.ts";
import { chatDoorWire } from "../../../../src/wires/openai-chat/door-wire.ts";
import { stubScheduler } from "../../../support/scheduler.ts";
import { readStream } from "../../../support/sse.ts";

const NOW = 1_800_000_000_000;
const TOTAL_MS = 5_000;
const LAST_BYTES_MS = 1_000;
const TRACE_ID = "tr_test";

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.stubGlobal("IdentityTransformStream", Pipe);
  stubScheduler();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** As in workerd: no room between the ends, so a write is done when somebody reads, and an abort ends it. */
class Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;

  constructor() {
    let wanted = Promise.withResolvers<void>();
    let reader: ReadableStreamDefaultController<Uint8Array> | undefined;
    const source = {
      start(controller: ReadableStreamDefaultController<Uint8Array>) {
        reader = controller;
      },
      pull: () => wanted.resolve(),
    };
    this.readable = new ReadableStream<Uint8Array>(source, { highWaterMark: 0 });
    this.writable = new WritableStream<Uint8Array>({
      async write(bytes, { signal }) {
        signal.addEventListener("abort", () => wanted.reject(new Error("Cut.")));
        await wanted.promise;
        wanted = Promise.withResolvers();
        reader?.enqueue(bytes);
      },
      close: () => reader?.close(),
      abort: (reason) => reader?.error(reason),
    });
  }
}

/** A step whose text is said at once. */
function fetchedStep(text: string, extra = "null") {
  const message = `{"role":"assistant","content":${JSON.stringify(text)},"annotations":${extra}}`;
  const body = `{"id":"x","choices":[{"index":0,"message":${message},"finish_reason":"stop"}]}`;
  const ruling = { calls: [], expiresAt: 0 };
  const release: Release = { ruling, delivery: "hold", traceId: TRACE_ID };
  const approval = { releaseStep: async () => release } as unknown as ToolApproval;
  const context = { provider: "openai", model: "m", traceId: TRACE_ID, createdAt: 1, conversation: null };
  const times = { deadlines: new Deadlines(), endsAt: NOW + TOTAL_MS };
  const lastWords = { flow: null, keep: null };
  const options = { includeUsage: false, ...times, lastWords, wire: chatDoorWire, context };
  return releasedStream(approval, { body, digest: "", ruling } as StoredStep, TRACE_ID, options);
}

test("a held step that nobody reads ends when the time of its request is over", async () => {
  const { end } = fetchedStep("Hello.");
  let how: string | null = null;
  void end.then((ended) => {
    how = ended;
  });
  await vi.advanceTimersByTimeAsync(TOTAL_MS + LAST_BYTES_MS - 1);
  expect(how).toBeNull();
  await vi.advanceTimersByTimeAsync(1);
  expect(how).toBe("cancelled");
});

test("one that is read is complete", async () => {
  const { readable, end } = fetchedStep("Hello.");
  const text = await new Response(readable).text();
  expect(text).toContain("Hello.");
  expect(await end).toBe("complete");
});

test("one that cannot be written as events ends with an error", async () => {
  const { readable, end } = fetchedStep("Hello.", "[".repeat(20_000) + "]".repeat(20_000));
  const reading = readStream(new Response(readable));
  await vi.runAllTimersAsync();
  expect(await reading).toMatchObject({ text: expect.stringContaining("stream_interrupted"), isBroken: true });
  expect(await end).toBe("interrupted");
});
