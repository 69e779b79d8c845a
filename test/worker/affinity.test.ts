/** A conversation stays with the target that answers it: its cache is there. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute, vendorError } from "../support/chat.ts";
import { completion, type Script, usage } from "../support/upstream.ts";

const ANSWER: Script = { json: completion() };

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

interface Turn {
  readonly provider: string | null;
  readonly affinity: string | null;
}

async function turn(route: TestRoute, headers: Record<string, string>, body: object = {}): Promise<Turn> {
  const response = await rig.ask(route, body, { headers: { ...rig.headers(route), ...headers } });
  await response.text();
  const read = (name: string) => response.headers.get(name);
  return { provider: read("x-flowlayer-provider"), affinity: read("x-flowlayer-affinity") };
}

const script = (route: TestRoute, at: number, scripts: Script | readonly Script[]): void =>
  rig.upstream.scriptFor(route.models[at] ?? "", scripts);

test("stays with the target that took it over, and says so", async () => {
  const route = await rig.route({ policy: { retry: { same_target: 0 } } });
  // The first target fails once: the conversation begins with the second, and stays there when the first is back.
  script(route, 0, [vendorError(500), ANSWER]);
  script(route, 1, ANSWER);
  const session = { "x-session-id": "begun-elsewhere" };
  expect(await turn(route, session)).toEqual({ provider: "groq", affinity: "new" });
  expect(await turn(route, session)).toEqual({ provider: "groq", affinity: "kept" });
  expect(await turn(route, { "x-session-id": "another" })).toEqual({ provider: "openai", affinity: "new" });
  expect(await turn(route, {})).toEqual({ provider: "openai", affinity: null });
});

test("fails over while its target does not answer, and comes back", async () => {
  const route = await rig.route({ policy: { retry: { same_target: 0 } } });
  script(route, 0, [ANSWER, vendorError(500), ANSWER]);
  script(route, 1, ANSWER);
  const session = { "x-session-id": "fails-over" };
  expect(await turn(route, session)).toEqual({ provider: "openai", affinity: "new" });
  expect(await turn(route, session)).toEqual({ provider: "groq", affinity: "broken" });
  expect(await turn(route, session)).toEqual({ provider: "openai", affinity: "kept" });
});

describe("names of a conversation", () => {
  test.each([
    { name: "x-session-id", headers: { "x-session-id": "one" } },
    { name: "Claude Code's header", headers: { "x-claude-code-session-id": "two" } },
    { name: "Codex's header", headers: { session_id: "three" } },
    { name: "Codex's other header", headers: { "session-id": "four" } },
    { name: "prompt_cache_key", headers: {}, body: { prompt_cache_key: "five" } },
    { name: "the first of several", headers: { "x-session-id": "six", session_id: "seven" }, body: {} },
  ])("$name", async ({ headers, body = {} }) => {
    const route = await rig.route();
    script(route, 0, ANSWER);
    expect((await turn(route, headers, body)).affinity).toBe("new");
    expect((await turn(route, headers, body)).affinity).toBe("kept");
  });

  test("stand on the trace, with the agent that asked", async () => {
    const route = await rig.route();
    script(route, 0, ANSWER);
    const headers = { "x-session-id": "on-the-trace", "x-claude-code-agent-id": "agent-7" };
    const response = await rig.ask(route, {}, { headers: { ...rig.headers(route), ...headers } });
    await response.text();
    expect(await rig.trace(route, response)).toMatchObject({
      ...{ affinity: "new", session_id: "on-the-trace", agent_id: "agent-7" },
    });
    const plain = await rig.ask(route);
    await plain.text();
    const trace = await rig.trace(route, plain);
    for (const member of ["affinity", "session_id", "agent_id"]) expect(trace).not.toHaveProperty(member);
  });

  test("belong to a key", async () => {
    const route = await rig.route();
    const other = await rig.worker.createKey({});
    script(route, 0, ANSWER);
    await turn(route, { "x-session-id": "shared" });
    const foreign = { "x-session-id": "shared", authorization: `Bearer ${other.key}` };
    expect((await turn(route, foreign)).affinity).toBe("new");
  });
});

test("cheapest: what the last target has in its cache is weighed against a lower price", async () => {
  // USD per million: 0.59 in and 0.79 out; 2 in, 0.5 from the cache and 8 out.
  const [plain, caching] = ["llama-3.3-70b-versatile", "gpt-4.1"] as const;
  const policy = { strategy: "cheapest", retry: { same_target: 0 }, limits: { max_output_tokens: 10 } };
  const route = await rig.route({
    providers: ["groq", "openai"],
    targets: [{ model: plain }, { model: caching }],
    policy,
  });
  const cached = {
    json: completion({ usage: { ...usage(1_000, 10), prompt_tokens_details: { cached_tokens: 1_000 } } }),
  };
  rig.upstream.scriptFor(plain, (call) => (call.body.includes("begin elsewhere") ? vendorError(500) : ANSWER));
  rig.upstream.scriptFor(caching, cached);
  const alone = await rig.route({ providers: ["openai"], targets: [{ model: caching }] });
  for (let request = 0; request < 22; request++) expect((await turn(alone, {})).provider).toBe("openai");

  const long = (text: string) => ({ messages: [{ role: "user", content: text.padEnd(16_000, " word") }] });
  let run = 0;
  const conversation = async (): Promise<Turn> => {
    const session = { "x-session-id": `cached-${run++}` };
    expect(await turn(route, session, long("begin elsewhere"))).toEqual({ provider: "openai", affinity: "new" });
    return turn(route, session, long("go on"));
  };
  // The share comes back with a report on the target, once a second at most.
  await expect.poll(conversation, { timeout: 10_000, interval: 300 }).toEqual({ provider: "openai", affinity: "kept" });
  expect(await turn(route, { "x-session-id": "without-a-cache" }, long("go on"))).toMatchObject({ provider: "groq" });
});
