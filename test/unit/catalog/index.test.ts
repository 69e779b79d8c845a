import { describe, expect, test } from "vitest";
import { CATALOG_VERSION, findEntry, findModel } from "../../../src/catalog/index.ts";
import { ModelFacts, type Price } from "../../../src/catalog/model-facts.ts";
import { type CatalogEntry, catalog } from "../../../src/catalog/models.ts";
import { ROWS } from "../../../src/providers/rows.ts";

const { meta, models } = catalog();
const lines = Object.entries(models).flatMap(([provider, entries]) =>
  Object.entries(entries).map(([id, entry]) => ({ provider, id, entry, name: `${provider}/${id}` })),
);

const MEMBERS =
  "context max_input max_output price tiers service regional until from promised_until hours fees request embedding can efforts responses_for_tools released knowledge shutdown status aliases trust source";
const PRICES =
  "input output cache_read cache_read_implicit cache_write cache_write_1h audio_input audio_output audio_cache_read thinking_output";
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
    const wrong = claude.filter(({ entry: { price, tiers = [] } }) =>
      [price, ...tiers].some(
        ({ input, cache_write, cache_write_1h }) =>
          (cache_write !== undefined && cache_write * 4 !== input * 5) ||
          (cache_write_1h !== undefined && cache_write_1h !== input * 2) ||
          (price.cache_write_1h !== undefined && cache_write_1h === undefined),
      ),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  test("has sane windows, dates, letters and trust", () => {
    expect(
      faulty(({ context = 4_096, embedding }) => {
        return isCount(context, embedding === undefined ? 2_048 : 256) && context <= 12_000_000;
      }),
    ).toEqual([]);
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

  test("has a price with all of it, and without its words", () => {
    for (const { provider, id, entry } of lines) {
      const { price, tiers, service, regional, until, from, hours, fees, request } = entry;
      const { except: _, ...peak } = hours ?? { except: "" };
      const members = { tiers, service, regional, until, from, hours: hours && peak, fees, request };
      expect(findModel(provider, id)?.price).toEqual({ ...price, ...members });
    }
  });

  test("says where it has to be given tools over the Responses API, each with its source", () => {
    const marked = lines.filter(({ entry }) => entry.responses_for_tools !== undefined);
    expect(marked.every(({ entry }) => meta.notes[entry.responses_for_tools ?? -1] !== undefined)).toBe(true);
    // From GPT-5.4 on, at the two who serve it over both APIs.
    const family = lines.filter(({ provider, id }) => {
      return (provider === "openai" || provider === "azure") && /^gpt-(?:5\.[4-9]|[6-9])/.test(id);
    });
    expect(marked.map(({ name }) => name)).toEqual(family.map(({ name }) => name));
    expect(findModel("openai", "gpt-5.6")).toMatchObject({
      responses_for_tools: true,
      efforts: ["none", "low", "medium", "high", "xhigh", "max"],
    });
    expect(findModel("openai", "gpt-6-astra")?.efforts).not.toContain("none");
    expect(findModel("openai", "gpt-5")?.responses_for_tools).toBeUndefined();
  });

  test("costs a tenth more where its region is bound, from the models on for which providers began to charge that", () => {
    const since: Readonly<Record<string, string>> = { anthropic: "2026-02-04", openai: "2026-03-05" };
    const isCharged = (provider: string, { released = "9999" }: CatalogEntry): boolean =>
      released >= (since[provider] ?? "9999-99");
    expect(faulty((entry, _, provider) => (entry.regional !== undefined) === isCharged(provider, entry))).toEqual([]);
    expect(faulty(({ regional = [11, 10] }) => regional[0] === 11 && regional[1] === 10)).toEqual([]);
  });

  test("charges Google's search by the prompt before its third generation, and by the search since", () => {
    const byPrompt = { web_search: 0, grounded_prompt: 35_000_000 };
    expect(
      faulty((entry, id, provider) =>
        provider === "google" && id.startsWith("gemini-2")
          ? JSON.stringify(entry.fees) === JSON.stringify(byPrompt)
          : entry.fees === undefined,
      ),
    ).toEqual([]);
  });

  test("reads Alibaba's own cache at a fifth of input wherever the one that is asked for costs a tenth", () => {
    expect(
      faulty((entry, _, provider) =>
        [entry.price, ...(entry.tiers ?? [])].every(({ input, cache_read = 0, cache_read_implicit }) =>
          provider === "alibaba" && cache_read * 10 === input
            ? cache_read_implicit === input / 5
            : cache_read_implicit === undefined,
        ),
      ),
    ).toEqual([]);
  });
});

test("the version that is stored beside charges is the table's", () => {
  expect(CATALOG_VERSION).toBe(`${meta.version}@${meta.date}`);
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
      reasoning: false,
      price: {
        input: usd(0.15),
        output: usd(0.6),
        cache_read: usd(0.075),
        service: { priority: { input: usd(0.25), output: usd(1), cache_read: usd(0.125) } },
      },
    },
  ],
  [
    "openai",
    "gpt-5",
    {
      context_window: 400_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      reasoning: true,
      price: { input: usd(1.25), output: usd(10), cache_read: usd(0.125), service: { priority: [2, 1] } },
    },
  ],
  [
    "openai",
    "gpt-5-pro",
    {
      context_window: 400_000,
      max_output_tokens: 272_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      reasoning: true,
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
      reasoning: true,
      price: {
        input: usd(5),
        output: usd(25),
        cache_read: usd(0.5),
        cache_write: usd(6.25),
        cache_write_1h: usd(10),
        service: { fast: [2, 1] },
        regional: [11, 10],
      },
    },
  ],
  [
    "anthropic",
    "claude-sonnet-5-5",
    {
      context_window: 1_000_000,
      max_output_tokens: 128_000,
      capabilities: { tools: true, json_schema: true, vision: true },
      reasoning: true,
      price: {
        input: usd(2),
        output: usd(10),
        cache_read: usd(0.1),
        cache_write: usd(2.5),
        cache_write_1h: usd(4),
        regional: [11, 10],
        until: [{ date: "2026-10-07", cache_read: usd(0.2) }],
      },
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
      reasoning: true,
      price: {
        input: usd(5.5),
        output: usd(27.5),
        cache_read: usd(0.55),
        cache_write: usd(6.875),
        cache_write_1h: usd(11),
      },
    },
  ],
  [
    "groq",
    "llama-3.1-8b-instant",
    {
      context_window: 131_072,
      max_output_tokens: 131_072,
      capabilities: { tools: true },
      reasoning: false,
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
      reasoning: true,
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
    tiers: [
      {
        above: 100_000,
        input: usd(0.5),
        output: usd(2.5),
        cache_read: usd(0.05),
        cache_write: usd(0.625),
        cache_write_1h: usd(1),
      },
    ],
  },
  {
    provider: "google",
    model: "gemini-2.5-pro",
    tiers: [{ above: 200_000, input: usd(2.5), output: usd(15), cache_read: usd(0.25) }],
  },
])("length decides the price of $provider/$model, and its tiers come with it", ({ provider, model, tiers }) => {
  expect(findModel(provider, model)?.price?.tiers).toEqual(tiers);
});

test.each<[string, string, string, Partial<Price>]>([
  [
    "the hour",
    "deepseek",
    "deepseek-flash",
    {
      input: usd(0.15),
      hours: {
        days: [1, 2, 3, 4, 5],
        minutes: [
          [60, 240],
          [360, 600],
        ],
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
    {
      input: usd(0.75),
      from: [{ date: "2027-01-01", input: usd(1.5), output: usd(7.5), cache_read: usd(0.15), audio_input: usd(1.5) }],
    },
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
      input: usd(0.3),
      output: usd(2.5),
      cache_read: usd(0.03),
      audio_input: usd(1),
      audio_cache_read: usd(0.1),
      fees: { web_search: 0, grounded_prompt: 35_000_000 },
    },
  ],
  ["thinking", "alibaba", "qwen-plus", { input: usd(0.4), output: usd(1.2), thinking_output: usd(4) }],
  ["the service tier", "openai", "gpt-4.1", { service: { priority: [7, 4] } }],
])("%s decides the price of %s/%s, and the price says so", (_, provider, model, price) => {
  expect(findModel(provider, model)?.price).toMatchObject(price);
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
    expect(findModel("openai", "gpt-4o-2024-05-13")?.price).toMatchObject({ input: usd(5), output: usd(15) });
  });

  test("what the table does not say is absent, not false and not zero", () => {
    expect(findModel("groq", "llama-3.1-8b-instant")?.capabilities).toEqual({ tools: true });
    expect(findModel("groq", "llama-3.1-8b-instant")?.price).not.toHaveProperty("cache_read");
  });

  test("the sandbox costs nothing, whatever the model, and that is known", () => {
    expect(findModel("sandbox", "anything")).toEqual({
      capabilities: { tools: true, json_schema: true },
      reasoning: false,
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
