/** Requests whose exact bytes, or whose order, another wire must not lose. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, startChatRig } from "../support/chat.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

/** The body that the provider got for `body`, a JSON text without `model`. */
async function sent(provider: string, body: string): Promise<string> {
  const route = await rig.route({ providers: [provider] });
  rig.upstream.script({ status: 503, json: {} });
  await rig.worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: rig.headers(route),
    body: `{"model":"${route.model}",${body}}`,
  });
  return rig.upstream.calls.at(-1)?.body ?? "";
}
const HI = '"messages":[{"role":"user","content":"hi"}]';

describe("a seed that no number holds exactly", () => {
  test("goes to Cohere digit by digit", async () => {
    expect(await sent("cohere", `${HI},"seed":9007199254740993`)).toContain('"seed":9007199254740993');
    expect(await sent("cohere", `${HI},"seed":-18446744073709551615`)).toContain('"seed":-18446744073709551615');
  });

  test("and its neighbour are two seeds at Gemini, of 32 bits each", async () => {
    const seeds: number[] = [];
    for (const seed of ["9007199254740993", "9007199254740992"]) {
      const body = JSON.parse(await sent("google", `${HI},"seed":${seed}`)) as {
        readonly generationConfig: { readonly seed: number };
      };
      seeds.push(body.generationConfig.seed);
    }
    expect(seeds[0]).toBe(Number(9007199254740993n % 2147483647n));
    expect(new Set(seeds).size).toBe(2);
  });
});

test("stop sequences that say nothing leave room for those that do", async () => {
  const body = await sent("cohere", `${HI},"stop":["","a","b","","c","d","e"]`);
  expect(JSON.parse(body)).toMatchObject({ stop_sequences: ["a", "b", "c", "d", "e"] });
});

const call = (id: string) => ({ id, type: "function", function: { name: "find", arguments: "{}" } });
const result = (id: string) => ({ role: "tool", tool_call_id: id, content: `of ${id}` });
const SAID = { role: "user", content: "Are you there?" };
const late = (...behind: object[]): string =>
  `"messages":${JSON.stringify([SAID, { role: "assistant", content: null, tool_calls: [call("a"), call("b")] }, ...behind])}`;

test.each([
  ["between results", late(result("a"), SAID, result("b"))],
  ["before all of them", late(SAID, result("a"), result("b"))],
])("Gemini gets all results right behind their calls where the user spoke %s", async (_, body) => {
  const { contents } = JSON.parse(await sent("google", body)) as {
    readonly contents: readonly { readonly role: string; readonly parts: readonly object[] }[];
  };
  expect(contents.map(({ role, parts }) => [role, ...parts.map((part) => Object.keys(part)[0])])).toEqual([
    ["user", "text"],
    ["model", "functionCall", "functionCall"],
    ["user", "functionResponse", "functionResponse"],
    ["user", "text"],
  ]);
});

const PNG = "iVBORw0KGgoAAAANSUhEUg==";
const seen = (type: string, data: string): string =>
  `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:${type};base64,${data}"}}]}]`;

test.each([
  ["anthropic", seen("image/jpeg", PNG), '"media_type":"image/png"'],
  ["anthropic", seen("image/jpg", "AAAA"), '"media_type":"image/jpeg"'],
  ["bedrock", seen("image/webp", PNG), '"format":"png"'],
  ["google", seen("image/jpg", "AAAA"), '"mimeType":"image/jpeg"'],
  ["google", seen("image/gif", "/9j/4AAQ"), '"mimeType":"image/jpeg"'],
])("%s gets the type of a picture that its bytes have", async (provider, body, got) => {
  expect(await sent(provider, body)).toContain(got);
});
