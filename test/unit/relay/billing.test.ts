/** What an attempt costs, by what came of it: never less than is known, and never zero for what is not. */
import { describe, expect, test } from "vitest";
import { reprice } from "../../../src/pricing/price.ts";
import { type BillableAttempt, billOf, sumOf, type Tariff, unadmittedNanoUsd } from "../../../src/relay/billing.ts";
import { type OutputPiece, Received } from "../../../src/relay/received.ts";

const PROMPT_TOKENS = 1_000;
const BOUND = 9_000_000;
/** 1 nano-USD a prompt token, 10 an output token. */
const TARIFF: Tariff = {
  price: { input: 1_000, output: 10_000 },
  baseUrl: "https://api.example/v1",
  thinks: false,
  announcesThinking: false,
  priceRow: null,
};

interface Came {
  readonly pieces?: readonly OutputPiece[];
  readonly usage?: object;
  readonly behindUsage?: readonly OutputPiece[];
  readonly isWhole?: boolean;
  readonly hidesReasoning?: boolean;
}

function received({ pieces = [], usage, behindUsage = [], isWhole = false, hidesReasoning = false }: Came): Received {
  const all = new Received();
  for (const { kind, text } of pieces) all.add(kind, text);
  if (usage !== undefined) all.noteUsage(usage);
  for (const { kind, text } of behindUsage) all.add(kind, text);
  all.hasContent = pieces.length + behindUsage.length > 0;
  all.showsReasoning = [...pieces, ...behindUsage].some(({ kind }) => kind === "reasoning");
  all.hidesReasoning = hidesReasoning;
  all.isWhole = isWhole;
  return all;
}

const attempt = (came: Came, more: Partial<BillableAttempt> = {}): BillableAttempt => ({
  ...{ provider: "openai", startedAt: 0, boundNanoUsd: 0, tariff: TARIFF, status: 200, endedBy: null },
  ...{ hasFault: false, isUnadmitted: false, received: received(came) },
  ...more,
});

/** 100 tokens. */
const SAID: OutputPiece = { kind: "text", text: "four".repeat(100) };
const CHINESE: OutputPiece = { kind: "text", text: "字".repeat(100) };
const THOUGHT: OutputPiece = { kind: "reasoning", text: "hmm.".repeat(50) };
const CALLED: OutputPiece = { kind: "call", text: '{"a":1,"b":22}'.repeat(20) };
const usage = (prompt: number, completion: number, reasoning = 0) => ({
  ...{ prompt_tokens: prompt, completion_tokens: completion },
  ...{ completion_tokens_details: { reasoning_tokens: reasoning } },
});
const thinks = { ...TARIFF, thinks: true };

const LEFT = { endedBy: "client" } as const;

test.each<{
  name: string;
  came: Came;
  more?: Partial<BillableAttempt>;
  prompt: number;
  completion: number;
  source: string;
  cost?: number;
}>([
  {
    name: "a whole answer costs what its provider says",
    ...{ came: { pieces: [SAID], usage: usage(7, 3), isWhole: true }, prompt: 7, completion: 3, source: "upstream" },
  },
  {
    name: "a whole answer without figures is counted",
    ...{ came: { pieces: [SAID, CALLED], isWhole: true }, prompt: 1_000, completion: 170, source: "counted" },
  },
  {
    name: "a stream that was left is counted by characters, not by events",
    ...{ came: { pieces: [SAID] }, more: LEFT, prompt: 1_000, completion: 100, source: "counted" },
  },
  {
    name: "a character of Chinese is a token",
    ...{ came: { pieces: [CHINESE] }, more: LEFT, prompt: 1_000, completion: 100, source: "counted" },
  },
  {
    name: "the first figures of a stream stand, with what came behind them",
    came: { usage: usage(5_000, 1), behindUsage: [SAID] },
    ...{ more: LEFT, prompt: 5_000, completion: 101, source: "counted" },
  },
  {
    name: "the last figures of a stream stand for all before them",
    ...{ came: { pieces: [SAID], usage: usage(5_000, 90, 60) }, more: LEFT, prompt: 5_000, completion: 90 },
    source: "upstream",
  },
  {
    name: "silence that we ended costs the prompt",
    ...{ came: {}, more: { endedBy: "latency_budget", status: null }, prompt: 1_000, completion: 0, source: "counted" },
  },
  {
    name: "hidden thoughts cost the bound",
    came: { pieces: [SAID] },
    more: { ...LEFT, tariff: thinks, boundNanoUsd: BOUND },
    ...{ prompt: 1_000, completion: 100, source: "upper_bound", cost: BOUND },
  },
  {
    name: "a model of which nobody knows whether it thinks may have",
    came: { pieces: [SAID] },
    more: { ...LEFT, tariff: { ...TARIFF, thinks: undefined }, boundNanoUsd: BOUND },
    ...{ prompt: 1_000, completion: 100, source: "upper_bound", cost: BOUND },
  },
  {
    name: "hidden thoughts without a bound are left out of the count",
    ...{ came: { pieces: [SAID] }, more: { ...LEFT, tariff: thinks }, prompt: 1_000, completion: 100 },
    source: "counted",
  },
  {
    name: "thoughts that were shown are counted, not bounded",
    came: { pieces: [THOUGHT, SAID] },
    more: { ...LEFT, tariff: thinks, boundNanoUsd: BOUND },
    ...{ prompt: 1_000, completion: 150, source: "counted" },
  },
  {
    name: "thoughts of which only a summary was shown cost the bound",
    came: { pieces: [THOUGHT, SAID], hidesReasoning: true },
    more: { ...LEFT, tariff: thinks, boundNanoUsd: BOUND },
    ...{ prompt: 1_000, completion: 150, source: "upper_bound", cost: BOUND },
  },
  {
    name: "a wire that says when the model thinks said nothing",
    came: { usage: usage(5_000, 1), behindUsage: [SAID] },
    more: { ...LEFT, tariff: { ...thinks, announcesThinking: true }, boundNanoUsd: BOUND },
    ...{ prompt: 5_000, completion: 101, source: "counted" },
  },
  {
    name: "thoughts that the provider counts are known",
    came: { pieces: [SAID], usage: usage(5_000, 9_280, 9_000) },
    more: { ...LEFT, tariff: thinks, boundNanoUsd: BOUND },
    ...{ prompt: 5_000, completion: 9_280, source: "upstream" },
  },
  {
    name: "a fault of ours behind an answer costs its figures",
    came: { pieces: [SAID], usage: usage(5_000, 90) },
    more: { hasFault: true, boundNanoUsd: BOUND },
    ...{ prompt: 5_000, completion: 90, source: "upstream" },
  },
  {
    name: "a fault of ours behind an answer without figures costs the bound",
    ...{ came: {}, more: { hasFault: true, boundNanoUsd: BOUND }, prompt: 1_000, completion: 0 },
    ...{ source: "upper_bound", cost: BOUND },
  },
  {
    name: "an unknown price costs the bound",
    came: { pieces: [SAID], usage: usage(7, 3), isWhole: true },
    more: { tariff: { ...TARIFF, price: undefined }, boundNanoUsd: BOUND },
    ...{ prompt: 7, completion: 3, source: "upper_bound", cost: BOUND },
  },
])("$name", ({ came, more, prompt, completion, source, cost = prompt + 10 * completion }) => {
  const bill = billOf(attempt(came, more), () => PROMPT_TOKENS);
  expect(bill.usage).toMatchObject({ promptTokens: prompt, completionTokens: completion });
  expect({ source: bill.usageSource, cost: bill.costNanoUsd }).toEqual({ source, cost });
});

test.each<{ name: string; came: Came; more?: Partial<BillableAttempt> }>([
  { name: "a refusal", came: {}, more: { status: 429 } },
  { name: "a refusal that the client left", came: {}, more: { status: 500, endedBy: "client" } },
  { name: "a connection that never was", came: {}, more: { status: null } },
  { name: "an answer that was none", came: { usage: usage(7, 3) } },
])("$name costs nothing", ({ came, more }) => {
  const bill = billOf(attempt(came, { boundNanoUsd: BOUND, ...more }), () => PROMPT_TOKENS);
  expect({ cost: bill.costNanoUsd, source: bill.usageSource, basis: bill.costBasis }).toEqual({
    ...{ cost: 0, source: "none", basis: null },
  });
});

describe("calls of a key that was refused meanwhile", () => {
  const refused = { isUnadmitted: true, boundNanoUsd: BOUND } as const;
  test.each<{ name: string; came: Came; more?: Partial<BillableAttempt>; unadmitted: number }>([
    { name: "whole", came: { usage: usage(7, 3), isWhole: true }, unadmitted: 37 },
    { name: "in the middle", came: { pieces: [SAID] }, unadmitted: BOUND },
    { name: "before anything came", came: {}, more: { endedBy: "client", status: null }, unadmitted: BOUND },
    { name: "refused by the provider too", came: {}, more: { status: 401 }, unadmitted: 0 },
  ])("$name: the key pays nothing, the deployment $unadmitted", ({ came, more, unadmitted }) => {
    const call = attempt(came, { ...refused, ...more });
    expect(billOf(call, () => PROMPT_TOKENS).costNanoUsd).toBe(0);
    expect(unadmittedNanoUsd(call, () => PROMPT_TOKENS)).toBe(unadmitted);
  });

  test("of an admitted call nothing is unadmitted", () => {
    expect(unadmittedNanoUsd(attempt({ pieces: [SAID] }, LEFT), () => PROMPT_TOKENS)).toBe(0);
  });
});

test("a sum with an unknown cost is unknown", () => {
  const known = billOf(attempt({ usage: usage(7, 3), isWhole: true }), () => 0);
  const unknown = billOf(attempt({ isWhole: true }, { tariff: { ...TARIFF, price: undefined } }), () => 0);
  expect(sumOf([known, known])).toBe(74);
  expect(sumOf([known, unknown])).toBeNull();
});

describe("an answer that several models of a provider made", () => {
  const dear = { input: 5_000, output: 50_000 };
  const priceOf = (model: string) => (model === "dear" ? dear : model === "own" ? TARIFF.price : undefined);
  const answered = (iterations: object[], more: Partial<BillableAttempt> = {}) =>
    attempt(
      { isWhole: true, usage: { ...usage(30, 3), iterations } },
      { provider: "anthropic", tariff: { ...TARIFF, priceOf }, ...more },
    );
  const own = { type: "message", model: "own", ...usage(10, 1) };
  const other = { type: "fallback_message", model: "dear", ...usage(20, 2) };

  test("each is paid at the price of the model that it names", () => {
    const bill = billOf(answered([own, other]), () => 0);
    expect(bill.costNanoUsd).toBe(10 * 1 + 1 * 10 + 20 * 5 + 2 * 50);
    expect(bill).toMatchObject({ usage: { promptTokens: 30, completionTokens: 3 }, usageSource: "upstream" });
    // What is stored gives the same sum again, whatever one model's price becomes.
    expect(reprice(bill.costBasis!).nanoUsd).toBe(bill.costNanoUsd);
  });

  test("an advisor with a price is no doubt any more", () => {
    const advisor = { ...other, type: "advisor_message" };
    expect(billOf(answered([own, advisor]), () => 0)).toMatchObject({ costNanoUsd: 220, usageSource: "upstream" });
  });

  test("a model without a price costs the bound, or more", () => {
    const unknown = { ...other, model: "nobody-knows" };
    const bound = billOf(answered([own, unknown], { boundNanoUsd: 5_000 }), () => 0);
    expect(bound).toMatchObject({ costNanoUsd: 5_000, usageSource: "upper_bound" });
    expect(billOf(answered([own, unknown], { boundNanoUsd: 1 }), () => 0).costNanoUsd).toBe(60);
  });

  test("one model alone is paid by the totals", () => {
    const bill = billOf(answered([own, { ...own, type: "compaction" }]), () => 0);
    expect(bill.costNanoUsd).toBe(30 + 3 * 10);
    expect(bill.costBasis?.row).not.toBeNull();
  });
});
