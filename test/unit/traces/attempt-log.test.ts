import { describe, expect, test } from "vitest";
import { attemptLog } from "../../../src/traces/attempt-log.ts";

describe("the log of attempts in one line", () => {
  test("says target, outcome, status and time of each, in their order", () => {
    const failed = { provider: "openai", model: "gpt-5", outcome: "network", status: null, duration_ms: 119.6 };
    const answered = { provider: "anthropic", model: "claude-opus-5", outcome: "ok", status: 200, duration_ms: 640 };
    expect(attemptLog([failed, answered])).toBe("openai/gpt-5;network;-;120ms, anthropic/claude-opus-5;ok;200;640ms");
    expect(attemptLog([])).toBe("");
  });
});
