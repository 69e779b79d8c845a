import { describe, expect, test } from "vitest";
import { ModelFacts } from "../../../src/catalog/facts.ts";
import { findEntry, findModel } from "../../../src/catalog/index.ts";
import { type CatalogEntry, catalog } from "../../../src/catalog/models.ts";
import { ROWS } from "../../../src/providers/rows.ts";

const { meta, models } = catalog();
const lines = Object.entries(models).flatMap(([provider, entries]) =>
  Object.entries(entries).map(([id, entry]) => ({ provider, id, entry, name: `${provider}/${id}` })),
);

const MEMBERS =
  "context max_input max_output price tiers service until from hours request can efforts released knowledge shutdown status aliases trust source";
const PRICES =
  "input output cache_read cache_write cache_write_1h audio_input audio_output audio_cache_read thinking_output";
/** Written by other protocols' adapters: no row of `rows.ts`. */
const TRANSLATED = ["anthropic", "google", "bedrock", "cohere", "azure"];

/** Names whose `isRight` fails, so that one assertion over a thousand lines says which. */
const faulty = (isRight: (entry: CatalogEntry, id: string, provider: string) => boolean): string[] =>
  lines.filter(({ entry, id, provider }) => !isRight(entry, id, provider)).map(({ name }) => name);

const pricesOf = (entry: CatalogEntry): Readonly<Record<string, unknown>>[] => {
  const service = Object.values(entry.service ?? {}).filter((each) => !Array.isArray(each));
  const all = [entry.price, entry.hours, ...(entry.tiers ?? []), ...(entry.until ?? []), ...(entry.from ?? [])];
  return [...all, ...service].filter((each) => each !== undefined) as unknown as Record<string, unknown>[];
};
const isCount = (value: unknown, minimum = 1): boolean => Number.isSafeInteger(value) && Number(value) >= minimum;
const isDay = (text: string): boolean => !Number.isNaN(Date.parse(text)) && /^20\d\d-\d\d-\d\d$/.test(text);

describe("every line", () => {
  test("there are as many as there should be, of known providers", () => {
    expect(lines.length).toBeGreaterThan(1_400);
    expect(isDay(meta.date)).toBe(true);
    const known = new Set([...ROWS.map(({ id }) => id), ...TRANSLATED]);
    expect(Object.keys(models).filter((provider) => !known.has(provider))).toEqual([]);
    expect(TRANSLATED.filter((provider) => models[provider] === undefined)).toEqual([]);
  });

  test("has no member that nobody reads, and facts that fit their schema", () => {
    const members = new Set(MEMBERS.split(" "));
    expect(faulty((entry) => Object.keys(entry).every((name) => members.has(name)))).toEqual([]);
    const prices = new Set([...PRICES.split(" "), "above", "date", "days", "minutes", "except"]);
    expect(
      faulty((entry) => pricesOf(entry).every((each) => Object.keys(each).every((name) => prices.has(name)))),
    ).toEqual([]);
    for (const { provider, id } of lines) {
      const facts = findModel(provider, id);
      expect(ModelFacts.parse(facts)).toEqual(facts);
    }
  });

  test("has whole prices in sane bounds: neither per token nor per thousand", () => {
    // An aggregate price list once read dollars per thousand tokens as per million: 1000 times too much.
    const isPrice = (value: unknown): boolean => isCount(value, 0) && Number(value) <= 600_000_000;
    expect(
      faulty((entry) =>
        pricesOf(entry).every((each) =>
          PRICES.split(" ").every((name) => each[name] === undefined || isPrice(each[name])),
        ),
      ),
    ).toEqual([]);
    const isWorthMoney = (value: number): boolean => value === 0 || (value >= 1_000 && value <= 200_000_000);
    expect(faulty(({ price }) => isWorthMoney(price.input) && price.output <= 600_000_000)).toEqual([]);
    expect(faulty(({ price }) => price.output === 0 || price.output >= 5_000)).toEqual([]);
  });

  test("reads a cache for no more than plain input, and for no less than a hundred and fiftieth of it", () => {
    expect(
      faulty(({ price: { input, cache_read = input } }) => cache_read <= input && cache_read * 150 >= input),
    ).toEqual([]);
  });

  test("writes a Claude cache at 5/4 of input and at 2/1 for an hour", () => {
    const claude = lines.filter(
      ({ provider, id }) => id.includes("claude") && ["anthropic", "bedrock"].includes(provider),
    );
    expect(claude.length).toBeGreaterThan(40);
    const wrong = claude.filter(({ entry: { price } }) => {
      const { input, cache_write, cache_write_1h } = price;
      return (
        (cache_write !== undefined && cache_write * 4 !== input * 5) ||
        (cache_write_1h !== undefined && cache_write_1h !== input * 2)
      );
    });
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  test("has sane windows, dates, letters and trust", () => {
    expect(faulty(({ context = 4_096 }) => isCount(context, 2_048) && context <= 12_000_000)).toEqual([]);
    expect(faulty(({ max_output = 1, max_input = 1 }) => isCount(max_output) && isCount(max_input))).toEqual([]);
    expect(faulty(({ context = Infinity, max_input = 0 }) => max_input <= context)).toEqual([]);
    expect(faulty(({ can = "" }) => /^[tsvVaAdrwkz]*$/.test(can) && new Set(can).size === can.length)).toEqual([]);
    expect(faulty(({ trust }) => /^[V1-6CRI]$/.test(trust))).toEqual([]);
    expect(faulty(({ source }) => source === undefined || meta.notes[source] !== undefined)).toEqual([]);
    const dated = (text = "2020-01-01"): boolean => /^20\d\d-\d\d(-\d\d)?$/.test(text);
    expect(faulty(({ released, knowledge, shutdown }) => [released, knowledge, shutdown].every(dated))).toEqual([]);
    expect(faulty(({ can = "", price }) => !can.includes("z") || price.input + price.output === 0)).toEqual([]);
  });

  test("orders its tiers, dates its schedules and keeps its hours inside a day", () => {
    expect(
      faulty(({ tiers = [] }) => tiers.every(({ above }, at) => isCount(above) && above > (tiers[at - 1]?.above ?? 0))),
    ).toEqual([]);
    expect(faulty(({ until = [], from = [] }) => [...until, ...from].every(({ date }) => isDay(date)))).toEqual([]);
    expect(
      faulty(({ hours }) =>
        (hours?.minutes ?? []).every(([begin, end]) => isCount(begin, 0) && begin < end && end <= 1_440),
      ),
    ).toEqual([]);
    expect(
      faulty(({ service = {} }) =>
        Object.values(service).every((each) => !Array.isArray(each) || each.every((part) => isCount(part))),
      ),
    ).toEqual([]);
    expect(faulty(({ request = {} }) => Object.values(request).every((fee) => isCount(fee)))).toEqual([]);
  });

  test("is found by its id and by each alias, and no id or alias stands twice", () => {
    expect(faulty((entry, id, provider) => findEntry(provider, id) === entry)).toEqual([]);
    expect(
      faulty((entry, _, provider) => (entry.aliases ?? []).every((alias) => findEntry(provider, alias) === entry)),
    ).toEqual([]);
    const names = lines.flatMap(({ provider, id, entry }) =>
      [id, ...(entry.aliases ?? [])].map((each) => `${provider}\n${each}`),
    );
    expect(names.length).toBe(new Set(names).size);
  });

  test("has a price in force exactly where nothing but the kind of token and the prompt's length decides", () => {
    const simple = lines.filter(({ provider, id }) => findModel(provider, id)?.price !== undefined);
    expect(simple.length).toBeGreaterThan(1_200);
    for (const { entry } of simple) {
      for (const member of ["from", "hours", "request"]) expect(entry).not.toHaveProperty(member);
      expect(entry.price.thinking_output).toBeUndefined();
      expect(entry.price.audio_input ?? entry.price.input).toBe(entry.price.input);
    }
  });
});

const usd = (dollars: number): number => Math.round(dollars * 1_000_000);

test.each<[string, string, ModelFacts]>([
  [
    "openai",
    "gpt-4o-mini",
    {
      context_window: 128_000,
      max_output_tokens: 16_384,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(0.15), output: usd(0.6), cache_read: usd(0.075) },
    },
  ],
  [
    "openai",
    "gpt-5",
    {
      context_window: 400_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(1.25), output: usd(10), cache_read: usd(0.125) },
    },
  ],
  [
    "openai",
    "gpt-5-pro",
    {
      context_window: 400_000,
      max_output_tokens: 272_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(15), output: usd(120) },
    },
  ],
  [
    "anthropic",
    "claude-opus-5",
    {
      context_window: 1_000_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(5), output: usd(25), cache_read: usd(0.5), cache_write: usd(6.25) },
    },
  ],
  // The cut of 2026-10-07 is behind us.
  [
    "anthropic",
    "claude-sonnet-5-5",
    {
      context_window: 1_000_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(2), output: usd(10), cache_read: usd(0.1), cache_write: usd(2.5) },
    },
  ],
  // A regional profile of Bedrock costs a tenth more.
  [
    "bedrock",
    "us.anthropic.claude-opus-4-8",
    {
      context_window: 1_000_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(5.5), output: usd(27.5), cache_read: usd(0.55), cache_write: usd(6.875) },
    },
  ],
  [
    "groq",
    "llama-3.1-8b-instant",
    {
      context_window: 131_072,
      max_output_tokens: 131_072,
      capabilities: { tools: true },
      price: { input: usd(0.05), output: usd(0.08) },
    },
  ],
  [
    "moonshot",
    "kimi-k3",
    {
      context_window: 1_048_576,
      max_output_tokens: 131_072,
      capabilities: { tools: true, json_schema: true, vision: true },
      price: { input: usd(3), output: usd(15), cache_read: usd(0.3) },
    },
  ],
])("%s/%s", (provider, model, facts) => {
  expect(findModel(provider, model)).toEqual(facts);
});

test.each([
  {
    provider: "openai",
    model: "gpt-5.6-sol",
    tiers: [{ above: 272_000, input: usd(8), output: usd(30), cache_read: usd(0.8), cache_write: usd(10) }],
  },
  {
    provider: "anthropic",
    model: "claude-haiku-5-5",
    tiers: [{ above: 100_000, input: usd(0.5), output: usd(2.5), cache_read: usd(0.05), cache_write: usd(0.625) }],
  },
  {
    provider: "google",
    model: "gemini-2.5-pro",
    tiers: [{ above: 200_000, input: usd(2.5), output: usd(15), cache_read: usd(0.25) }],
  },
])("length decides the price of $provider/$model, and its tiers come with it", ({ provider, model, tiers }) => {
  expect(findModel(provider, model)?.price?.tiers).toEqual(tiers);
});

test.each<[string, string, string, Partial<CatalogEntry>]>([
  [
    "the hour",
    "deepseek",
    "deepseek-flash",
    {
      hours: {
        days: [1, 2, 3, 4, 5],
        minutes: [
          [60, 240],
          [360, 600],
        ],
        except: "CN public holidays",
        input: usd(0.3),
        output: usd(1.2),
        cache_read: usd(0.006),
      },
    },
  ],
  [
    "the day",
    "google",
    "gemini-3.8-flash",
    { from: [{ date: "2027-01-01", input: usd(1.5), output: usd(7.5), cache_read: usd(0.15), audio_input: usd(1.5) }] },
  ],
  [
    "a fee per request",
    "perplexity",
    "sonar-pro",
    { request: { low: 6_000_000, medium: 10_000_000, high: 14_000_000 } },
  ],
  [
    "audio",
    "google",
    "gemini-2.5-flash",
    {
      price: {
        input: usd(0.3),
        output: usd(2.5),
        cache_read: usd(0.03),
        audio_input: usd(1),
        audio_cache_read: usd(0.1),
      },
    },
  ],
  ["thinking", "alibaba", "qwen-plus", { price: { input: usd(0.4), output: usd(1.2), thinking_output: usd(4) } }],
])("%s decides the price of %s/%s: kept whole, and without a simple price", (_, provider, model, structure) => {
  expect(findEntry(provider, model)).toMatchObject(structure);
  const facts = findModel(provider, model);
  expect(facts?.capabilities).toBeDefined();
  expect(facts).not.toHaveProperty("price");
});

test("other service tiers are kept, and the simple price is that of the default one", () => {
  expect(findEntry("openai", "gpt-4.1")?.service).toEqual({ priority: [7, 4] });
  expect(findEntry("openai", "gpt-4o-mini")?.service).toEqual({
    priority: { input: usd(0.25), output: usd(1), cache_read: usd(0.125) },
  });
});

describe("looking up", () => {
  test("an alias is the same model", () => {
    expect(findModel("openai", "gpt-4o-2024-08-06")).toBe(findModel("openai", "gpt-4o"));
    expect(findModel("anthropic", "claude-haiku-4-5")).toBe(findModel("anthropic", "claude-haiku-4-5-20251001"));
  });

  test.each([
    ["openai", "gpt-5.2-2027-02-28", "gpt-5.2"],
    ["anthropic", "claude-opus-5-20260729", "claude-opus-5"],
    ["anthropic", "claude-opus-5@20260729", "claude-opus-5"],
  ])("%s/%s is read without its date", (provider, model, plain) => {
    expect(findModel(provider, model)).toBeDefined();
    expect(findModel(provider, model)).toBe(findModel(provider, plain));
  });

  test("a dated id with a price of its own is not read without its date", () => {
    expect(findModel("openai", "gpt-4o-2024-05-13")?.price).toEqual({ input: usd(5), output: usd(15) });
  });

  test("what the table does not say is absent, not false and not zero", () => {
    expect(findModel("groq", "llama-3.1-8b-instant")?.capabilities).toEqual({ tools: true });
    expect(findModel("groq", "llama-3.1-8b-instant")?.price).not.toHaveProperty("cache_read");
  });

  test("the sandbox costs nothing, whatever the model, and that is known", () => {
    expect(findModel("sandbox", "anything")).toEqual({
      capabilities: { tools: true, json_schema: true },
      price: { input: 0, output: 0 },
    });
  });

  test.each([
    { name: "a longer id", provider: "openai", model: "gpt-5-turbo-2099" },
    { name: "the id of another model behind a known one", provider: "anthropic", model: "claude-opus-5-5-5" },
    { name: "a shorter id", provider: "openai", model: "gpt" },
    { name: "a short version mark", provider: "openai", model: "gpt-5-0905" },
    { name: "a day that no month has", provider: "openai", model: "gpt-5-20261340" },
    { name: "a date alone", provider: "openai", model: "-2026-01-31" },
    { name: "a date that is not at the end", provider: "openai", model: "gpt-5-2026-01-31-beta" },
    { name: "another provider", provider: "xai", model: "gpt-4o" },
    { name: "a provider that is part of the id", provider: "together/openai", model: "gpt-oss-120b" },
    { name: "a member of every object", provider: "openai", model: "__proto__" },
    { name: "a provider that is a member of every object", provider: "constructor", model: "name" },
    { name: "a model that nobody offers any more", provider: "openai", model: "gpt-4-32k" },
  ])("$name is unknown", ({ provider, model }) => {
    expect(findModel(provider, model)).toBeUndefined();
  });
});
