/**
 * One conversation, whichever door it came by, reaches a provider in equal bytes: what providers cache is a prefix of
 * them. Random conversations in the spelling of each door, to a target of each of three wires.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { billedWire, wireAt } from "../support/billed.ts";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";

type Json = Readonly<Record<string, unknown>>;

let rig: ChatRig;
const routes = new Map<string, TestRoute>();
const PROVIDERS = ["anthropic", "groq", "google", "bedrock", "cohere"] as const;
beforeAll(async () => {
  rig = await startChatRig();
  for (const provider of PROVIDERS) routes.set(provider, await rig.route({ providers: [provider] }));
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

interface Call {
  readonly id: string;
  readonly name: string;
  /** JSON text of an object, in a spelling that has to last. */
  readonly args: string;
  readonly result: string;
}

type Piece = { readonly text: string } | { readonly png: string };

interface Step {
  readonly asked: readonly Piece[];
  readonly said: string;
  readonly calls: readonly Call[];
}

interface Talk {
  readonly system: string | null;
  readonly steps: readonly Step[];
  readonly last: string;
  readonly maxTokens: number;
  readonly temperature: number | null;
  readonly hasTools: boolean;
  readonly choice: "auto" | "required" | "f_0" | null;
}

const words = fc.stringMatching(/^[a-zé☔ ]{0,12}[a-z.]$/).filter((text) => text.trim() === text);
const args = fc.constantFrom(
  "{}",
  '{"n":1.0,"id":9007199254740993123}',
  '{"2":[],"1":{"a":"é\\n"}}',
  '{"x":"\\u00e9"}',
);
const piece: fc.Arbitrary<Piece> = fc.oneof(
  { weight: 3, arbitrary: words.map((text) => ({ text })) },
  fc.constantFrom("iVBORw0KGgo=", "iVBORw0KGgp=").map((png) => ({ png })),
);
const step = fc.record({
  asked: fc.array(piece, { minLength: 1, maxLength: 3 }),
  said: words,
  calls: fc.array(fc.record({ name: fc.nat(2).map((at) => `f_${at}`), args, result: words }), { maxLength: 3 }),
});
const talk: fc.Arbitrary<Talk> = fc
  .record({
    system: fc.option(words),
    steps: fc.array(step, { maxLength: 3 }),
    last: words,
    maxTokens: fc.integer({ min: 1, max: 4_000 }),
    temperature: fc.option(fc.constantFrom(0, 0.5, 1)),
    hasTools: fc.boolean(),
    choice: fc.constantFrom("auto", "required", "f_0", null),
  })
  .map((made): Talk => {
    let serial = 0;
    const steps = made.steps.map((each) => ({
      ...each,
      calls: each.calls.map((call) => ({ ...call, id: `call_${String(++serial).padStart(8, "0")}` })),
    }));
    const hasTools = made.hasTools || steps.some(({ calls }) => calls.length > 0);
    return { ...(made as Omit<Talk, "steps">), steps, hasTools } as Talk;
  });

const SCHEMA = { type: "object", properties: { n: { type: "number" } } };
const TOOLS = ["f_0", "f_1", "f_2"].map((name) => ({ name, description: `Does ${name}.`, schema: SCHEMA }));
const one = <T>(list: readonly T[]): T | undefined => (list.length === 1 ? list[0] : undefined);

/** Arguments that have to stand in a body as they are spelled: put there behind everything else. */
class Exact {
  readonly #texts: string[] = [];
  mark(text: string): string {
    return `@exact${this.#texts.push(text) - 1}@`;
  }
  put(body: unknown): string {
    return JSON.stringify(body).replace(/"@exact(\d+)@"/g, (_, at: string) => this.#texts[Number(at)] ?? "");
  }
}

function asChat({ system, steps, last, maxTokens, temperature, hasTools, choice }: Talk, model: string): string {
  const asked = (pieces: readonly Piece[]): unknown => {
    const only = one(pieces);
    if (only !== undefined && "text" in only) return only.text;
    return pieces.map((each) =>
      "text" in each
        ? { type: "text", text: each.text }
        : { type: "image_url", image_url: { url: `data:image/png;base64,${each.png}` } },
    );
  };
  const messages = steps.flatMap(({ asked: pieces, said, calls }) => [
    { role: "user", content: asked(pieces) },
    {
      ...{ role: "assistant", content: said },
      ...(calls.length === 0
        ? {}
        : {
            tool_calls: calls.map(({ id, name, args: text }) => ({
              id,
              type: "function",
              function: { name, arguments: text },
            })),
          }),
    },
    ...calls.map(({ id, result }) => ({ role: "tool", tool_call_id: id, content: result })),
  ]);
  return JSON.stringify({
    model,
    messages: [
      ...(system === null ? [] : [{ role: "system", content: system }]),
      ...messages,
      { role: "user", content: last },
    ],
    max_completion_tokens: maxTokens,
    ...(temperature === null ? {} : { temperature }),
    ...(hasTools
      ? {
          tools: TOOLS.map(({ name, description, schema }) => ({
            type: "function",
            function: { name, description, parameters: schema },
          })),
        }
      : {}),
    ...(hasTools && choice !== null
      ? { tool_choice: choice === "f_0" ? { type: "function", function: { name: choice } } : choice }
      : {}),
  });
}

function asMessages({ system, steps, last, maxTokens, temperature, hasTools, choice }: Talk, model: string): string {
  const exact = new Exact();
  const turns: Json[] = [];
  let results: Json[] = [];
  const ask = (pieces: readonly Piece[]): void => {
    const said = pieces.map((each) =>
      "text" in each
        ? { type: "text", text: each.text }
        : { type: "image", source: { type: "base64", media_type: "image/png", data: each.png } },
    );
    turns.push({ role: "user", content: [...results, ...said] });
    results = [];
  };
  for (const { asked, said, calls } of steps) {
    ask(asked);
    const uses = calls.map(({ id, name, args: text }) => ({ type: "tool_use", id, name, input: exact.mark(text) }));
    turns.push({ role: "assistant", content: [{ type: "text", text: said }, ...uses] });
    results = calls.map(({ id, result }) => ({
      ...{ type: "tool_result", tool_use_id: id },
      content: [{ type: "text", text: result }],
    }));
  }
  ask([{ text: last }]);
  // The order of members is that in which the router writes them: to Anthropic they pass as they came.
  return exact.put({
    model,
    max_tokens: maxTokens,
    ...(system === null ? {} : { system: [{ type: "text", text: system }] }),
    messages: turns,
    ...(temperature === null ? {} : { temperature }),
    ...(hasTools
      ? { tools: TOOLS.map(({ name, description, schema }) => ({ name, description, input_schema: schema })) }
      : {}),
    ...(hasTools && choice !== null
      ? {
          tool_choice:
            choice === "auto"
              ? { type: "auto" }
              : choice === "required"
                ? { type: "any" }
                : { type: "tool", name: choice },
        }
      : {}),
  });
}

function asResponses({ system, steps, last, maxTokens, temperature, hasTools, choice }: Talk, model: string): string {
  const asked = (pieces: readonly Piece[]): unknown =>
    pieces.map((each) =>
      "text" in each
        ? { type: "input_text", text: each.text }
        : { type: "input_image", image_url: `data:image/png;base64,${each.png}` },
    );
  const input = steps.flatMap(({ asked: pieces, said, calls }) => [
    { type: "message", role: "user", content: asked(pieces) },
    { type: "message", role: "assistant", content: [{ type: "output_text", text: said }] },
    ...calls.map(({ id, name, args: text }) => ({ type: "function_call", call_id: id, name, arguments: text })),
    ...calls.map(({ id, result }) => ({ type: "function_call_output", call_id: id, output: result })),
  ]);
  return JSON.stringify({
    model,
    ...(system === null ? {} : { instructions: system }),
    input: [...input, { role: "user", content: last }],
    max_output_tokens: maxTokens,
    ...(temperature === null ? {} : { temperature }),
    ...(hasTools
      ? {
          tools: TOOLS.map(({ name, description, schema }) => ({
            type: "function",
            name,
            description,
            parameters: schema,
          })),
        }
      : {}),
    ...(hasTools && choice !== null
      ? { tool_choice: choice === "f_0" ? { type: "function", name: choice } : choice }
      : {}),
    store: false,
  });
}

const DOORS = [
  ["/v1/chat/completions", asChat],
  ["/v1/messages", asMessages],
  ["/v1/responses", asResponses],
] as const;

const USED = { input: 3, output: 2 };

describe.each(PROVIDERS)("to %s", (provider) => {
  test("one conversation goes out in equal bytes by chat, Messages and Responses", { timeout: 60_000 }, async () => {
    rig.upstream.script(({ path }) => billedWire(wireAt(path, provider)).whole("Said.", USED));
    const route = routes.get(provider)!;
    const headers = rig.headers(route);
    const property = fc.asyncProperty(talk, async (made) => {
      const sent: string[] = [];
      for (const [path, spell] of DOORS) {
        const body = spell(made, route.model);
        const response = await rig.worker.fetch(path, { method: "POST", headers, body });
        expect(response.status, await response.text()).toBe(200);
        sent.push(rig.upstream.calls.at(-1)?.body ?? "");
      }
      const [byChat, byMessages, byResponses] = sent;
      expect(byMessages).toBe(byChat);
      expect(byResponses).toBe(byChat);
    });
    await fc.assert(property, { numRuns: 25 });
  });
});
