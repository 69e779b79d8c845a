/** Arbitrary conversations and answers, of everything that the Responses wire can say. */
import * as fc from "fast-check";
import type { Answer } from "../../../../src/conversation/answer.ts";
import type { Conversation, Tool, Turn } from "../../../../src/conversation/conversation.ts";
import type { Bound, Json, Part } from "../../../../src/conversation/part.ts";

export const PROVIDER = "openai";

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const name = fc.stringMatching(/^[a-z]{1,6}$/);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

/** Without the members that are `undefined`: readers leave those out. */
export function defined<T>(value: T): T {
  if (Array.isArray(value)) return value.map(defined) as T;
  if (typeof value !== "object" || value === null || value instanceof Map) return value;
  const members = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(members.map(([key, each]) => [key, defined(each)])) as T;
}

/** What no wire but its own reads, and this wire only carries. */
const foreign: fc.Arbitrary<Bound> = fc
  .record({
    wire: fc.constantFrom("anthropic-messages", "gemini", "bedrock", "cohere"),
    provider: maybe(name).map((each) => each ?? null),
    signature: maybe(text),
    encrypted: maybe(text),
    id: maybe(name),
    data: maybe(fc.dictionary(name, fc.oneof(text, fc.integer(), fc.boolean()), { minKeys: 1, maxKeys: 2 })),
  })
  .map((bound) => defined(bound) as Bound);

const encrypted: fc.Arbitrary<Bound> = fc
  .record({ encrypted: text, id: maybe(name.map((each) => `rs_${each}`)) })
  .map((own) => defined({ wire: "openai-responses", provider: PROVIDER, ...own }) as Bound);

const phase: fc.Arbitrary<Bound> = fc.constantFrom("commentary", "final_answer").map((each) => ({
  wire: "openai-responses",
  provider: PROVIDER,
  data: { phase: each },
}));

/** JSON text that no parser may touch: integers beyond 2^53, spelling, order of keys, a cut. */
export const argsText = fc.oneof(
  fc.constantFrom('{"id":9007199254740993}', '{"b":1.0,"a":1e2}', '{ "2":0,"1":0 }', '{"cut":"of'),
  fc.dictionary(name, fc.oneof(text, fc.integer())).map((value) => JSON.stringify(value)),
);

const searchBlock: fc.Arbitrary<Part> = fc.tuple(name, text).map(([id, query]) => ({
  kind: "block",
  path: "",
  bound: {
    wire: "openai-responses",
    provider: PROVIDER,
    data: { id: `ws_${id}`, type: "web_search_call", status: "completed", action: { type: "search", query } },
  },
}));

const shellCall: fc.Arbitrary<Part> = fc.tuple(name, text).map(([id, command]) => {
  const data: Json = {
    ...{ id: `sh_${id}`, type: "local_shell_call", call_id: `call_sh_${id}`, status: "completed" },
    action: { type: "exec", command: [command] },
  };
  return {
    ...({ kind: "call", path: "", id: `call_sh_${id}`, name: "local_shell", form: "function" } as const),
    args: JSON.stringify(data["action"]),
    bound: { wire: "openai-responses", provider: PROVIDER, data },
  };
});

const citation: fc.Arbitrary<Json> = fc.record({
  type: fc.constant("url_citation"),
  url: fc.webUrl(),
  title: text,
  start_index: fc.nat(9),
  end_index: fc.nat(9),
});

/** Parts of an answer, ids of calls aside. */
const answerPart: fc.Arbitrary<Part> = fc.oneof(
  { weight: 4, arbitrary: text.map((each): Part => ({ kind: "text", path: "", text: each })) },
  fc
    .tuple(text, fc.oneof(foreign, phase))
    .map(([each, bound]): Part => ({ kind: "text", path: "", text: each, bound })),
  fc
    .tuple(text, fc.array(citation, { minLength: 1, maxLength: 2 }))
    .map(([each, citations]): Part => ({ kind: "text", path: "", text: each, citations })),
  text.map((each): Part => ({ kind: "reasoning", path: "", text: each, form: "summary" })),
  fc
    .tuple(text, fc.oneof(foreign, encrypted))
    .map(([each, bound]): Part => ({ kind: "reasoning", path: "", text: each, form: "summary", bound })),
  fc
    .oneof(foreign, encrypted)
    .map((bound): Part => ({ kind: "reasoning", path: "", text: "", form: "redacted", bound })),
  foreign.map((bound): Part => ({ kind: "block", path: "", bound })),
  searchBlock,
  shellCall,
  fc.tuple(name, argsText, maybe(foreign), fc.boolean()).map(([id, args, bound, isCustom]): Part => {
    const form = isCustom ? "custom" : "function";
    const call: Part = { kind: "call", path: "", id: `call_${id}`, name: "look_up", form, args };
    return bound === undefined ? call : { ...call, bound };
  }),
);

const refusal: fc.Arbitrary<Part[]> = text.map((each) => [{ kind: "refusal", path: "", text: each }]);

/** All texts of a message have its phase, or none has one. */
function withOnePhase(parts: readonly Part[]): Part[] {
  const kept: Part[] = [];
  for (const part of parts) {
    const before = kept.at(-1);
    const isMixed = part.kind === "text" && before?.kind === "text" && before.bound === undefined;
    if (isMixed && part.bound?.wire === "openai-responses") {
      const { bound: _, ...plain } = part;
      kept.push(plain);
    } else kept.push(part);
  }
  return kept;
}

/** Each item and each call has an id of its own. */
function withOwnIds(parts: readonly Part[]): Part[] {
  const seen = new Set<string>();
  return parts.filter((part) => {
    const ids: string[] = part.kind === "call" ? [part.id] : [];
    const id = part.bound?.wire === "openai-responses" ? part.bound.data?.["id"] : undefined;
    if (typeof id === "string") ids.push(id);
    const isFree = ids.every((each) => !seen.has(each));
    for (const each of ids) seen.add(each);
    return isFree;
  });
}

export const answers: fc.Arbitrary<Answer> = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: fc.array(answerPart, { minLength: 1, maxLength: 8 }) }, refusal),
    fc.constantFrom("stop", "length", "content_filter"),
    fc.record({ prompt: fc.nat(999), completion: fc.nat(999), cached: fc.nat(9), reasoning: fc.nat(9) }),
  )
  .map(([made, end, usage]): Answer => {
    const parts = withOnePhase(withOwnIds(made));
    const calls = parts.some(({ kind }) => kind === "call");
    const reason = end === "stop" && calls ? "tool_calls" : end;
    return {
      id: "resp_1",
      model: "some-model",
      choices: [{ parts, finish: { reason } }],
      usage,
      rawUsage: undefined,
    };
  });

const userPart: fc.Arbitrary<Part> = fc.oneof(
  text.map((each): Part => ({ kind: "text", path: "", text: each })),
  fc.webUrl().map((url): Part => ({ kind: "image", path: "", media: { kind: "url", url } })),
  fc.constantFrom("low", "high").map((detail): Part => {
    return { kind: "image", path: "", media: { kind: "base64", mediaType: "image/png", data: "aGk=" }, detail };
  }),
  name.map((id): Part => {
    const bound = { wire: "openai-responses", provider: null } as const;
    return { kind: "file", path: "", media: { kind: "id", id: `file-${id}` }, bound };
  }),
  name.map((each): Part => {
    const media = { kind: "base64", mediaType: "application/pdf", data: "aGk=" } as const;
    return { kind: "file", path: "", media, name: `${each}.pdf` };
  }),
);

const userTurn: fc.Arbitrary<Turn> = fc
  .tuple(fc.constantFrom("user", "system", "developer"), fc.array(userPart, { minLength: 1, maxLength: 3 }))
  .map(([role, parts]): Turn => ({ role, parts, path: "" }));

/** What a model said and what came of its calls. Reasoning is not the last thing in it. */
const modelTurns: fc.Arbitrary<Turn[]> = fc
  .tuple(
    fc.array(
      fc.oneof(
        text.map((each): Part => ({ kind: "text", path: "", text: each })),
        fc.tuple(text, phase).map(([each, bound]): Part => ({ kind: "text", path: "", text: each, bound })),
        encrypted.map((bound): Part => ({ kind: "reasoning", path: "", text: "", form: "redacted", bound })),
        fc
          .tuple(text, encrypted, fc.constantFrom("summary", "full"))
          .map(([each, bound, form]): Part => ({ kind: "reasoning", path: "", text: each, form, bound })),
        searchBlock,
        shellCall,
      ),
      { maxLength: 4 },
    ),
    argsText,
    fc.boolean(),
    fc.nat(999_999),
  )
  .map(([parts, args, isCustom, number]): Turn[] => {
    const form = isCustom ? "custom" : "function";
    const id = `call_${number}`;
    const call: Part = { kind: "call", path: "", id, name: "look_up", form, args };
    const result: Part = {
      ...({ kind: "result", path: "", callId: id, form } as const),
      parts: [{ kind: "text", path: "", text: "found" }],
    };
    return [
      { role: "assistant", parts: withOwnIds([...parts, call]), path: "" },
      { role: "tool", parts: [result], path: "" },
    ];
  });

const tools: fc.Arbitrary<Tool[]> = fc.uniqueArray(
  fc.oneof(
    fc.tuple(name, maybe(text), fc.boolean()).map(([each, description, strict]): Tool => {
      const parameters = { type: "object", properties: { id: { type: "integer" } } };
      return defined({ kind: "function", name: `f_${each}`, description, parameters, strict, path: "" });
    }),
    fc.tuple(name, maybe(text)).map(([each, description]): Tool => {
      const format = { type: "grammar", syntax: "regex", definition: "a+" };
      return defined({ kind: "custom", name: `c_${each}`, description, format, path: "" });
    }),
    fc.constantFrom("web_search", "file_search").map((type): Tool => {
      return { kind: "provider", wire: "openai-responses", type, source: { type }, path: "" };
    }),
  ),
  { selector: (tool) => (tool.kind === "provider" ? tool.type : tool.name), maxLength: 4 },
);

export const conversations: fc.Arbitrary<Conversation> = fc
  .tuple(
    fc.array(
      fc.oneof(
        userTurn.map((turn) => [turn]),
        modelTurns,
      ),
      { minLength: 1, maxLength: 5 },
    ),
    tools,
    fc.record({
      maxOutputTokens: maybe(fc.integer({ min: 16, max: 9_999 })),
      temperature: maybe(fc.constantFrom(0, 0.5, 1)),
      topP: maybe(fc.constantFrom(0.5, 1)),
      logprobs: maybe(fc.constant(true)),
      toolChoice: maybe(fc.constantFrom("auto", "none", "required")).map((kind) => kind && { kind }),
      parallelToolCalls: maybe(fc.boolean()),
      responseFormat: maybe(
        fc.constantFrom(
          { kind: "json_object" } as const,
          { kind: "json_schema", name: "answer", schema: { type: "object" }, strict: true } as const,
        ),
      ),
      reasoning: maybe(fc.constantFrom("none", "low", "high")).map((effort) => effort && { effort, path: "" }),
      verbosity: maybe(fc.constantFrom("low", "high")),
      serviceTier: maybe(fc.constantFrom("flex", "priority")),
      promptCacheKey: maybe(name),
      promptCacheRetention: maybe(fc.constant("24h")),
      user: maybe(name),
      safetyIdentifier: maybe(name),
      metadata: maybe(fc.constant({ team: "a" })),
      truncation: maybe(fc.constant("auto")),
    }),
    fc.boolean(),
  )
  .map(([turns, offered, controls, stream]): Conversation => {
    const { toolChoice: _, parallelToolCalls: __, ...others } = controls;
    return {
      turns: turns.flat(),
      tools: offered,
      // Without tools nothing is said of them.
      controls: defined(offered.length === 0 ? others : controls) as Conversation["controls"],
      stream,
      others: [],
      spelling: {},
    };
  });
