import { describe, expect, test } from "vitest";
import { Conversation, conversationMembers, expectedOutput, noteOutput } from "../../../src/relay/affinity.ts";

const HOUR = 3_600_000;
let count = 0;
const named = (session = `s${count++}`, keyId = "k", route = "production:r") => ({ keyId, route, session });

/** One turn: what it prefers, and what it is called after `target` has answered. */
function turn(
  name: ReturnType<typeof named>,
  target: string,
  now: number,
  strategy: Strategy = "ordered",
  drawn = "a",
) {
  const conversation = new Conversation(name, strategy, now);
  const preferred = [...conversation.preferred];
  conversation.noteDrawn(drawn);
  conversation.noteAnswered(target, now);
  return { preferred, affinity: conversation.affinityWith(target) };
}
type Strategy = ConstructorParameters<typeof Conversation>[1];

describe("a conversation", () => {
  test.each(["ordered", "fastest"] as const)("%s: stays, fails over, and comes back", (strategy) => {
    const name = named();
    expect(turn(name, "b", 0, strategy)).toEqual({ preferred: [], affinity: "new" });
    expect(turn(name, "b", 1, strategy)).toEqual({ preferred: ["b"], affinity: "kept" });
    expect(turn(name, "c", 2, strategy)).toEqual({ preferred: ["b"], affinity: "broken" });
    // The one that stood in has the newest turn in its cache, so it is the second choice.
    expect(turn(name, "c", 3, strategy)).toEqual({ preferred: ["b", "c"], affinity: "broken" });
    expect(turn(name, "b", 4, strategy)).toEqual({ preferred: ["b", "c"], affinity: "kept" });
    expect(turn(name, "b", 5, strategy)).toEqual({ preferred: ["b"], affinity: "kept" });
  });

  test("moves to whoever answers once its own target cannot remember it", () => {
    const name = named();
    turn(name, "a", 0);
    turn(name, "b", HOUR - 1);
    expect(turn(name, "b", HOUR)).toEqual({ preferred: ["a", "b"], affinity: "broken" });
    expect(turn(name, "b", HOUR + 1)).toEqual({ preferred: ["b"], affinity: "kept" });
  });

  test("weighted: the draw holds, and its target is the conversation's whoever answers", () => {
    const name = named();
    expect(turn(name, "b", 0, "weighted", "a")).toEqual({ preferred: [], affinity: "new" });
    expect(turn(name, "b", 1, "weighted", "a")).toEqual({ preferred: [], affinity: "broken" });
    expect(turn(name, "a", 2, "weighted", "a")).toEqual({ preferred: [], affinity: "kept" });
  });

  test("cheapest: nothing is preferred, and it belongs to whoever answered last", () => {
    const name = named();
    turn(name, "a", 0, "cheapest");
    expect(turn(name, "b", 1, "cheapest")).toEqual({ preferred: [], affinity: "broken" });
    expect(turn(name, "b", 2, "cheapest")).toEqual({ preferred: [], affinity: "kept" });
  });

  test("only the target that answered last has it in its cache, for an hour", () => {
    const name = named();
    turn(name, "a", 0);
    turn(name, "b", 1);
    const at = (now: number) => new Conversation(name, "cheapest", now);
    expect([at(2).isCachedAt("a"), at(2).isCachedAt("b")]).toEqual([false, true]);
    expect(at(HOUR + 1).isCachedAt("b")).toBe(false);
  });

  test.each([
    { what: "another key", other: { keyId: "other" } },
    { what: "another route", other: { route: "staging:r" } },
    { what: "another session", other: { session: "t" } },
  ])("$what has a memory of its own", ({ other }) => {
    const name = { keyId: "k", route: "production:own", session: "own" };
    turn(name, "a", 0);
    expect(turn({ ...name, ...other }, "a", 1).affinity).toBe("new");
  });

  test("the one not heard of for the longest time is forgotten first", () => {
    const [old, used] = [named(), named()];
    turn(old, "a", 0);
    turn(used, "a", 0);
    for (let other = 0; other < 9_998; other++) turn(named(), "a", 1);
    expect(turn(used, "a", 2).affinity).toBe("kept");
    turn(named(), "a", 3);
    expect(turn(used, "a", 4).affinity).toBe("kept");
    expect(turn(old, "a", 4).affinity).toBe("new");
  });

  test("nobody's answer breaks nothing", () => {
    const name = named();
    expect(new Conversation(name, "ordered", 0).affinityWith(null)).toBe("new");
    turn(name, "a", 0);
    expect(new Conversation(name, "ordered", 1).affinityWith(null)).toBeNull();
  });
});

test("a trace names the conversation and the agent, where the client did", () => {
  expect(conversationMembers(null, null, "a")).toEqual({});
  expect(conversationMembers(null, "agent", "a")).toEqual({ agent_id: "agent" });
  const conversation = new Conversation(named("x".repeat(300)), "ordered", 0);
  expect(conversationMembers(conversation, null, "a")).toEqual({ affinity: "new", session_id: "x".repeat(256) });
});

describe("the output to expect", () => {
  test("is the median of the route's last hour, never above the cap", () => {
    for (const [tokens, at] of [
      [9_000, 0],
      [100, HOUR],
      [2_000, HOUR],
      [3_000, HOUR],
    ] as const) {
      noteOutput("median", tokens, at);
    }
    expect(expectedOutput("median", undefined, HOUR + 1)).toBe(2_000);
    expect(expectedOutput("median", 50, HOUR + 1)).toBe(50);
  });

  test.each([
    { cap: undefined, expected: 1_024 },
    { cap: 300, expected: 300 },
    { cap: 8_000, expected: 1_024 },
  ])("is the cap without one: $cap", ({ cap, expected }) => {
    expect(expectedOutput("never-asked", cap, 0)).toBe(expected);
  });
});
