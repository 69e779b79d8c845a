/** The bounds that reservations hold: above what can be used, and none where nobody can know. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ContentDemand, MediaPart, Medium, ToolDemand } from "../../../src/conversation/demand.ts";
import {
  type BoundTarget,
  type Ceilings,
  choicesOf,
  outputCap,
  ownCap,
  promptBound,
} from "../../../src/pricing/estimate.ts";

const GPT: BoundTarget = { provider: "openai", model: "gpt-4o" };
const CLAUDE: BoundTarget = { provider: "anthropic", model: "claude-opus-5" };
const GEMINI: BoundTarget = { provider: "google", model: "gemini-2.5-pro" };
const NO_CEILINGS: Ceilings = { partTokens: {}, toolTokens: {} };
const NO_TOOLS: ToolDemand = { hasTools: false, provider: [], unknown: null };

const holding = (...media: MediaPart[]): ContentDemand => ({
  ...{ messages: 1, media, unknownPart: null, unknownMember: null },
  base64Length: media.reduce((sum, { base64Length }) => sum + base64Length, 0),
});
const part = (medium: Medium, more: Partial<MediaPart> = {}): MediaPart => ({
  ...{ medium, path: "messages[0].content[1]", base64Length: 0, ...more },
});
const offering = (
  ...types: (string | { type: string; maxCalls?: number; maxTokensPerCall?: number })[]
): ToolDemand => ({
  hasTools: true,
  unknown: null,
  provider: types.map((tool, at) => ({ path: `tools[${at}]`, ...(typeof tool === "string" ? { type: tool } : tool) })),
});

const boundOf = (
  { content = holding(), tools = NO_TOOLS, textBytes = 100 },
  target = GPT,
  ceilings: Partial<Ceilings> = {},
) => promptBound({ content, tools, textBytes }, target, { ...NO_CEILINGS, ...ceilings });

describe("the prompt", () => {
  test.each<[string, { content?: ContentDemand; tools?: ToolDemand }, number]>([
    ["its bytes and 16 per message", {}, 116],
    ["1,024 more with tools", { tools: { ...NO_TOOLS, hasTools: true } }, 116 + 1_024],
    ["the model's most for a picture", { content: holding(part("image"), part("image")) }, 116 + 2 * 1_445],
    [
      "sound by its length",
      { content: holding(part("audio", { base64Length: 4_000, head: new Uint8Array([1]) })) },
      146,
    ],
    ["as much again for a tool that the provider defines", { tools: offering("bash_20250124") }, 116 + 2 * 1_024],
  ])("%s", (_, demand, tokens) => expect(boundOf(demand)).toEqual({ ok: true, tokens, calls: {} }));

  test("a policy's ceilings count in place of ours", () => {
    const content = holding(part("image"), part("file"), part("video"), part("audio"));
    const partTokens = { image: 1_000, file: 9_000, video: 20_000, audio: 500 };
    expect(boundOf({ content }, GPT, { partTokens })).toMatchObject({ ok: true, tokens: 116 + 30_500 });
  });

  test.each<[Medium, Partial<MediaPart>, BoundTarget, string]>([
    ["file", {}, GPT, "file"],
    ["file", { base64Length: 4_000 }, GPT, "file"],
    ["video", {}, GPT, "video"],
    ["audio", {}, GPT, "audio"],
    ["audio", { base64Length: 400, head: new TextEncoder().encode("OggS") }, GPT, "audio"],
    // It fetches any address, and looks itself at what it is.
    ["image", {}, GEMINI, "file"],
  ])("a part of the kind %s %o has no bound without one", (medium, more, target, name) => {
    const bound = boundOf({ content: holding(part(medium, more)) }, target);
    expect(bound).toEqual({
      ...{ ok: false, path: "messages[0].content[1]" },
      remedy: `Set \`limits.part_tokens.${name}\` in the policy.`,
    });
  });

  test("a picture is one by its bytes, or by a name that ends in one", () => {
    const named = holding(part("image", { isPictureByName: true }), part("image", { base64Length: 40 }));
    expect(boundOf({ content: named }, GEMINI)).toMatchObject({ ok: true, tokens: 116 + 2 * 6_192 });
  });

  test("never below the bytes, and never lower for more", () => {
    const media = fc.constantFrom(part("image"), part("file"), part("audio", { base64Length: 100 }));
    fc.assert(
      fc.property(fc.array(media), media, fc.nat(1_000_000), fc.nat(1_000), (parts, another, textBytes, more) => {
        const partTokens = { file: 1, audio: 0 };
        const tokensOf = (content: ContentDemand, bytes: number): number => {
          const bound = boundOf({ content, textBytes: bytes }, GPT, { partTokens });
          return bound.ok ? bound.tokens : Number.NaN;
        };
        expect(tokensOf(holding(...parts), textBytes)).toBeGreaterThanOrEqual(textBytes);
        expect(tokensOf(holding(...parts, another), textBytes + more)).toBeGreaterThanOrEqual(
          tokensOf(holding(...parts), textBytes) + more,
        );
      }),
    );
  });
});

describe("tools that the provider runs", () => {
  test.each<[string, ToolDemand, BoundTarget, Partial<Ceilings>, number, object]>([
    [
      "each call brings what the policy says, and is charged its fee",
      offering({ type: "web_search_20250305", maxCalls: 3 }),
      CLAUDE,
      { toolTokens: { web_search: 5_000 } },
      15_000,
      { web_search: 3 },
    ],
    [
      "a cap of its own does, and ten calls where none are named",
      offering({ type: "web_fetch_20250910", maxTokensPerCall: 700 }),
      CLAUDE,
      {},
      7_000,
      {},
    ],
    [
      "in every spelling of its name",
      offering("googleSearch", "url_context"),
      GEMINI,
      { toolTokens: { google_search: 0, urlContext: 2_000 } },
      20_000,
      { web_search: 10, grounded_prompt: 1 },
    ],
  ])("%s", (_, tools, target, ceilings, tokens, calls) => {
    const own = 1_024 * (1 + tools.provider.length);
    expect(boundOf({ tools }, target, ceilings)).toEqual({ ok: true, tokens: 116 + own + tokens, calls });
  });

  test.each<[string, string | { type: string; maxCalls: number }, BoundTarget, RegExp]>([
    ["what it brings is unknown", "urlContext", GEMINI, /limits\.tool_tokens\.urlContext/],
    ["a number of calls alone bounds nothing", { type: "web_search_20250305", maxCalls: 1 }, CLAUDE, /tool_tokens/],
    ["its fee is unknown", "code_interpreter", GPT, /fee/],
    ["its fee is unknown elsewhere", "web_search_20250305", { provider: "groq", model: "m" }, /fee/],
    ["it is many tools in one", "unknown", GEMINI, /fee/],
    ["it is called like a member of every object", "toString", GEMINI, /fee/],
  ])("%s", (_, type, target, remedy) => {
    const bound = boundOf({ tools: offering(type) }, target);
    expect(bound).toMatchObject({ ok: false, path: "tools[0]", remedy: expect.stringMatching(remedy) });
  });

  test("a policy's ceiling does not make an unknown fee known", () => {
    const toolTokens = { code_interpreter: 5 };
    expect(boundOf({ tools: offering("code_interpreter") }, GPT, { toolTokens }).ok).toBe(false);
  });
});

describe("the output", () => {
  test.each([
    { named: [], model: undefined, cap: 32_768 },
    { named: [undefined], model: 4_096, cap: 4_096 },
    { named: [800], model: 4_096, cap: 800 },
    { named: [900, 800, undefined], model: 4_096, cap: 800 },
  ])("of $named at a model of $model is capped at $cap", ({ named, model, cap }) => {
    expect(outputCap(named, model)).toBe(cap);
  });

  test.each([
    { fields: { max_tokens: 900, max_completion_tokens: 500 }, cap: 500 },
    { fields: { max_tokens: "900" }, cap: undefined },
    { fields: { max_tokens: null }, cap: undefined },
  ])("a client's own cap in $fields is $cap", ({ fields, cap }) => expect(ownCap(fields)).toBe(cap));

  test.each([
    { fields: {}, choices: 1 },
    { fields: { n: 3 }, choices: 3 },
    { fields: { n: null }, choices: 1 },
  ])("$fields asks for $choices answers", ({ fields, choices }) => expect(choicesOf(fields)).toBe(choices));
});
