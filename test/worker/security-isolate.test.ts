/** What one request, one client or one provider may take of an isolate that all tenants share. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cpuMs, residentMiB, workerdChildren } from "../bench/measure.ts";
import { type ChatRig, type ErrorBody, startChatRig, type TestRoute } from "../support/chat.ts";
import { connectRaw } from "../support/raw.ts";
import { some } from "../support/tries.ts";
import { completion } from "../support/upstream.ts";

const MIB = 1024 * 1024;

let rig: ChatRig;
let pid: number | null;
beforeAll(async () => {
  const before = new Set(workerdChildren());
  rig = await startChatRig();
  pid = workerdChildren().find((each) => !before.has(each)) ?? null;
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

const GATED = { tools: { require_approval: true, wait_ms: 0 } };

/** Processor time of the Worker's process meanwhile, in ms; `NaN` where the platform does not say. */
async function cpuOf(work: () => Promise<unknown>): Promise<number> {
  const before = cpuMs(pid);
  await work();
  return cpuMs(pid) - before;
}

const codeOf = (text: string): string => (JSON.parse(text) as ErrorBody).error.code;

describe("large bodies", () => {
  /** Two bytes a character in memory where one of them is beyond Latin-1. */
  const PADS = [
    { name: "text of two-byte characters", pad: `${"a".repeat(9 * MIB)}\u4e00` },
    { name: "ASCII", pad: "a".repeat(9 * MIB) },
    { name: "400,000 values", pad: "1,".repeat(400_000) },
  ];

  test.each(some(PADS, 2))(
    "six at once of $name end in answers or `overloaded`, and the isolate goes on",
    async ({ pad }) => {
      const route = await rig.route({ providers: ["openai"] });
      rig.upstream.script({ json: completion(), headMs: 400 });
      const messages = [{ role: "user", content: pad }];
      const answers = await Promise.all(Array.from({ length: 6 }, () => rig.ask(route, { messages })));
      for (const answer of answers) {
        const text = await answer.text();
        if (answer.status === 200) continue;
        expect({ status: answer.status, code: codeOf(text) }).toEqual({ status: 503, code: "overloaded" });
        expect(answer.headers.get("retry-after")).toBe("1");
        expect(answer.headers.get("x-should-retry")).toBe("true");
      }
      expect((await rig.ask(route)).status).toBe(200);
    },
  );

  test("what a request goes on from counts as its own bytes do", async () => {
    const route = await rig.route({ providers: ["deepinfra"] });
    const ask = (body: object): Promise<Response> =>
      rig.worker.fetch("/v1/responses", {
        method: "POST",
        headers: rig.headers(route),
        body: JSON.stringify({ model: route.model, ...body }),
      });
    rig.upstream.script({ json: completion() });
    const first = (await (await ask({ input: "a".repeat(7 * MIB) })).json()) as { id: string; store: boolean };
    expect(first.store).toBe(true);
    rig.upstream.script({ json: completion(), headMs: 1_500 });
    const goOn = { input: "b", previous_response_id: first.id, store: false };
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(goOn)));
    const codes = await Promise.all(
      answers.map(async (each) => {
        const text = await each.text();
        return each.status === 200 ? "ok" : codeOf(text);
      }),
    );
    expect(codes.toSorted()).toEqual(["ok", "ok", "ok", "overloaded", "overloaded"]);
    expect((await ask(goOn)).status).toBe(200);
  });

  test("ten at once of what is stored end in answers or `overloaded`, and none of it stays counted", async () => {
    const route = await rig.route({ providers: ["deepinfra"] });
    rig.upstream.script({ json: completion() });
    const init = { method: "POST", headers: rig.headers(route) };
    const body = JSON.stringify({ model: route.model, input: "a".repeat(7 * MIB) });
    const stored = (await (await rig.worker.fetch("/v1/responses", { ...init, body })).json()) as { id: string };
    const read = async (path: string): Promise<string> => {
      const answer = await rig.worker.fetch(`/v1/responses/${stored.id}${path}`, { headers: rig.headers(route) });
      const text = await answer.text();
      return answer.status === 200 ? "ok" : codeOf(text);
    };
    for (let round = 0; round < 2; round++) {
      const codes = new Set(await Promise.all(Array.from({ length: 10 }, () => read("/input_items"))));
      expect([...codes].toSorted()).toEqual(["ok", "overloaded"]);
    }
    // The response itself is short, whatever was asked.
    expect(new Set(await Promise.all(Array.from({ length: 10 }, () => read(""))))).toEqual(new Set(["ok"]));
    expect(await read("/input_items")).toBe("ok");
  });

  test("a body beyond 10 MiB is refused by its length alone", async () => {
    const route = await rig.route();
    const client = await connectRaw(rig.worker.url);
    const headers = Object.entries(rig.headers(route)).map(([name, value]) => `${name}: ${value}\r\n`);
    client.send(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n${headers.join("")}Content-Length: ${10 * MIB + 1}\r\n\r\n`,
    );
    const { status, body } = await client.response();
    expect([status, codeOf(body)]).toEqual([413, "request_too_large"]);
    client.close();
  });

  test.each([
    { path: "/v1/approvals/call_1", scope: "approvals:decide" },
    { path: "/admin/approvals/call_1", scope: null },
    { path: "/admin/keys", scope: null },
    { path: "/admin/routes/production/x/rollback", scope: null },
  ])("two million keys sent to $path cost nothing", async ({ path, scope }) => {
    const token = scope === null ? rig.worker.adminToken : (await rig.worker.createKey({ scopes: [scope] })).key;
    let body = '{"decision":"approve"';
    for (let at = 0; body.length < 9 * MIB; at++) body += `,"k${at}":1`;
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const took = await cpuOf(async () => {
      const answer = await rig.worker.fetch(path, { method: "POST", headers, body: `${body}}` });
      expect([answer.status, codeOf(await answer.text())]).toEqual([413, "request_too_large"]);
    });
    if (!Number.isNaN(took)) expect(took).toBeLessThan(600);
  });
});

describe("a list of 400,000 faults is refused by its first one", () => {
  const ones = `[${"1,".repeat(400_000)}1]`;
  const said = `"max_tokens":9,"messages":[{"role":"user","content":"a"}]`;
  test.each([
    { path: "/v1/chat/completions", members: `"messages":${ones}`, param: "messages[0]" },
    { path: "/v1/chat/completions", members: `"tools":${ones},${said}`, param: "tools[0]" },
    { path: "/v1/messages", members: `"max_tokens":9,"messages":${ones}`, param: "messages[0]" },
    {
      path: "/v1/messages",
      members: `"max_tokens":9,"messages":[${"{},".repeat(200_000)}{}]`,
      param: "messages[0].role",
    },
    { path: "/v1/messages", members: `"tools":${ones},${said}`, param: "tools[0]" },
    { path: "/v1/messages", members: `"system":${ones},${said}`, param: "system" },
    { path: "/v1/messages/count_tokens", members: `"messages":${ones}`, param: "messages[0]" },
    { path: "/v1/responses", members: `"input":${ones}`, param: "input[0]" },
    { path: "/v1/responses", members: `"tools":${ones},"input":"a"`, param: "tools[0]" },
    { path: "/v1/responses", members: `"include":${ones},"input":"a"`, param: "include[0]" },
  ])("$path: $param", async ({ path, members, param }) => {
    const route = await rig.route();
    const body = `{"model":${JSON.stringify(route.model)},${members}}`;
    const init = { method: "POST", headers: rig.headers(route), body };
    const took = await cpuOf(async () => {
      const answer = await rig.worker.fetch(path, init);
      const { error } = (await answer.json()) as ErrorBody;
      expect([answer.status, error.code, error.param]).toEqual([400, "invalid_request", param]);
    });
    if (!Number.isNaN(took)) expect(took).toBeLessThan(800);
  });
});

describe("lists inside a body that an adapter walks", () => {
  const calls = (count: number, id: (at: number) => string): object => ({
    messages: [
      { role: "user", content: "x" },
      {
        role: "assistant",
        content: null,
        tool_calls: Array.from({ length: count }, (_, at) => ({
          ...{ id: id(at), type: "function" },
          function: { name: "f", arguments: "{}" },
        })),
      },
      ...Array.from({ length: count / 10 }, (_, at) => ({ role: "tool", tool_call_id: id(at), content: "y" })),
      { role: "user", content: "z" },
    ],
  });
  const SHAPES: readonly { readonly name: string; readonly make: (count: number) => object }[] = [
    { name: "calls of one id", make: (count) => calls(count, () => "a") },
    {
      name: "calls of ids that only differ in what providers refuse",
      make: (count) => calls(count, (at) => `a${"!".repeat(at % 7)}`),
    },
    { name: "calls of distinct ids", make: (count) => calls(count, (at) => `c${at}`) },
    {
      name: "tools whose names become one",
      make: (count) => ({
        tools: Array.from({ length: count }, (_, at) => ({
          type: "function",
          function: { name: `${"n".repeat(70)}${at}`, parameters: { type: "object" } },
        })),
      }),
    },
    {
      name: "turns of one word",
      make: (count) => ({
        messages: Array.from({ length: count }, (_, at) => ({ role: at % 2 ? "assistant" : "user", content: "a" })),
      }),
    },
    {
      name: "parts of one word",
      make: (count) => ({
        messages: [{ role: "user", content: Array.from({ length: count }, () => ({ type: "text", text: "a" })) }],
      }),
    },
    {
      name: "members of a message that nobody knows",
      make: (count) => ({
        messages: [
          {
            role: "user",
            content: "a",
            ...Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, 1])),
          },
        ],
      }),
    },
    {
      name: "system messages",
      make: (count) => ({
        messages: [
          ...Array.from({ length: count }, () => ({ role: "system", content: "a" })),
          { role: "user", content: "b" },
        ],
      }),
    },
  ];

  test.each(
    // Each shape at two providers or more, and each provider with two shapes or more.
    some(
      ["openai", "mistral", "anthropic", "google", "bedrock", "cohere"].flatMap((provider) =>
        SHAPES.map((shape) => ({ provider, ...shape })),
      ),
      3,
    ),
  )("$provider, $name: twice as many cost twice as much", { timeout: 60_000 }, async ({ provider, make }) => {
    const route = await rig.route({ providers: [provider] });
    const cost = async (count: number): Promise<number> => {
      const body = make(count);
      return cpuOf(async () => (await rig.ask(route, body)).text());
    };
    await cost(500);
    const [once, twice] = [await cost(6_000), await cost(12_000)];
    // Ticks are 10 ms each; quadratic code would take seconds for either.
    if (!Number.isNaN(once)) expect(twice).toBeLessThan(3 * once + 250);
  });
});

test.each(some(["openai", "anthropic", "google", "bedrock", "cohere"], 2))(
  "%s: arguments of 9 MiB that only open arrays cost no more than their bytes",
  async (provider) => {
    const route = await rig.route({ providers: [provider] });
    const call = { id: "a", type: "function", function: { name: "f", arguments: "[".repeat(9 * MIB) } };
    const messages = [
      { role: "user", content: "x" },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "a", content: "y" },
    ];
    const residentBefore = residentMiB(pid);
    const took = await cpuOf(async () => (await rig.ask(route, { messages })).text());
    // Parsed, they take a second or more and 650 MB.
    if (Number.isNaN(took)) return;
    expect(took).toBeLessThan(800);
    expect(residentMiB(pid) - residentBefore).toBeLessThan(200);
  },
);

describe("a list of large calls", () => {
  let route: TestRoute;
  let decider: string;
  const COUNT = 28;
  beforeAll(async () => {
    const policy = { tools: { require_approval: true, delivery: "mark" } };
    route = await rig.route({ providers: ["openai"], policy });
    decider = (await rig.worker.createKey({ scopes: ["approvals:decide"] })).key;
    for (let at = 0; at < COUNT; at += 7) {
      const toolCalls = Array.from({ length: 7 }, (_, of) => ({
        id: `large_${at + of}`,
        name: "write",
        arguments: JSON.stringify({ text: randomBytes(650_000).toString("hex") }),
      }));
      rig.upstream.script({ json: completion({ toolCalls }) });
      const response = await rig.ask(route);
      expect([response.status, (await response.text()).length > 9_000_000]).toEqual([200, true]);
    }
  }, 60_000);

  /** Every page from the first to the last. */
  async function pages(get: (query: string) => Promise<Response>): Promise<string[][]> {
    const found: string[][] = [];
    for (let cursor = ""; found.length <= COUNT; ) {
      const answer = await get(`status=pending&limit=1000${cursor}`);
      const text = await answer.text();
      expect(answer.status, text.slice(0, 300)).toBe(200);
      expect(text.length).toBeLessThan(8 * MIB);
      const { data, has_more, next_cursor } = JSON.parse(text) as {
        data: { tool_call_id: string; arguments: string }[];
        has_more: boolean;
        next_cursor: string | null;
      };
      for (const { arguments: given } of data) expect(given.length).toBe(1_300_011);
      found.push(data.map(({ tool_call_id: id }) => id));
      if (!has_more) return found;
      cursor = `&cursor=${next_cursor}`;
    }
    throw new Error("The list has no end.");
  }

  test("is read page by page, each bounded in bytes, by operators and deciders alike", async () => {
    const wanted = Array.from({ length: COUNT }, (_, at) => `large_${at}`).sort();
    const headers = { authorization: `Bearer ${decider}` };
    await expect
      .poll(async () => (await pages((query) => rig.worker.admin(`/admin/approvals?${query}`))).flat().sort(), {
        timeout: 10_000,
      })
      .toEqual(wanted);
    const seen = await pages((query) => rig.worker.fetch(`/v1/approvals?${query}`, { headers }));
    expect(seen.flat().sort()).toEqual(wanted);
    expect(seen.length).toBeGreaterThan(3);
  });
});

describe("a generous or hostile provider", () => {
  test.each([
    { name: "a whole answer of 17 MiB", gated: false },
    { name: "a whole answer of 17 MiB behind a gate", gated: true },
  ])("$name is none", async ({ gated }) => {
    const route = await rig.route({ policy: gated ? GATED : {} });
    rig.upstream.scriptFor(route.models[0]!, { json: completion({ text: "a".repeat(17 * MIB) }) });
    const response = await rig.ask(route);
    expect(response.headers.get("x-flowlayer-attempt-log")).toMatch(/;invalid_response;200;\d+ms, .*;ok;/);
    await response.text();
  });

  const data = (delta: object, finish: string | null = null): string =>
    `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const callDelta = (index: number, text: string): string =>
    data({ tool_calls: [{ index, id: `c${index}`, type: "function", function: { name: "f", arguments: text } }] });

  test.each([
    { name: "40,000 calls", events: () => Array.from({ length: 40_000 }, (_, at) => callDelta(at, "")), most: 1_200 },
    {
      name: "12 MiB of arguments",
      events: () => Array.from({ length: 192 }, (_, at) => callDelta(at % 3, "a".repeat(64 * 1024))),
      most: 1_200,
    },
    {
      name: "300 calls of one index",
      events: () => Array.from({ length: 300 }, () => callDelta(0, "{}")),
      most: 1_200,
    },
  ])("a gated stream with $name ends, and costs little", async ({ events, most }) => {
    const route = await rig.route({ providers: ["openai"], policy: GATED });
    rig.upstream.script({
      events: [data({ content: "Well." }), ...events(), data({}, "tool_calls"), "data: [DONE]\n\n"],
    });
    const took = await cpuOf(async () => {
      const response = await rig.ask(route, { stream: true });
      const text = await response.text().catch(() => "");
      expect(text).not.toContain('"arguments"');
    });
    if (!Number.isNaN(took)) expect(took).toBeLessThan(most);
    expect((await rig.worker.fetch("/health")).status).toBe(200);
  });
});
