/**
 * Recorded and hand-written answers of providers, and what has to be made of them.
 *
 * The project's own lie under `test/fixtures`, listed by `index.json` there and by one in each folder. Recordings lie
 * beside the checkout where there are any. `expect` says what an answer holds; a member that is absent says nothing.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { findProvider } from "../../src/providers/index.ts";
import { eventData } from "./sse.ts";

export interface Expected {
  readonly text?: string;
  readonly reasoning_text?: string;
  readonly refusal?: string;
  readonly tool_plan?: string;
  readonly choices_text?: readonly string[];
  readonly tool_calls?: readonly {
    readonly id?: string;
    readonly name: string;
    readonly arguments_json: string;
    /** `false`: the provider cut them off, so they are compared as text. */
    readonly arguments_valid_json?: boolean;
  }[];
  readonly function_call?: { readonly name: string; readonly arguments_json: string };
  readonly custom_tool_calls?: readonly { readonly id?: string; readonly name: string; readonly input: string }[];
  readonly finish_reason?: string;
  readonly finish_reason_any?: readonly string[];
  readonly prompt_tokens?: number;
  readonly prompt_tokens_alt?: readonly number[];
  readonly completion_tokens?: number;
  readonly completion_tokens_alt?: readonly number[];
  readonly cached_tokens?: number;
  readonly cached_tokens_alt?: readonly number[];
  readonly cache_write_tokens?: number;
  readonly cache_write_tokens_alt?: readonly number[];
  readonly reasoning_tokens?: number;
  readonly reasoning_tokens_alt?: readonly number[];
  readonly error?: {
    readonly message?: string;
    readonly type?: string;
    readonly code?: unknown;
    readonly param?: string | null;
  };
  readonly retry_after_s?: number;
  readonly retry_after_s_any?: readonly number[];
}

export interface Fixture {
  readonly file: string;
  /** Id of the provider in the registry. */
  readonly provider: string;
  readonly kind: "sse" | "eventstream" | "json" | "error";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly expect: Expected;
  /** Members of the client's body that this answer answers, such as a `response_format`. */
  readonly request?: Readonly<Record<string, unknown>>;
  readonly path: string;
  readonly isOwn: boolean;
}

const OWN = new URL("../fixtures/", import.meta.url).pathname;
const RECORDED = new URL("../../../shared/fixtures/", import.meta.url).pathname;
/** Where a recording names a provider by its product. */
const PROVIDER_OF: Readonly<Record<string, string>> = { gemini: "google" };

type Entry = Omit<Fixture, "path" | "isOwn">;

function entriesOf(index: string, directory: string): Fixture[] {
  if (!existsSync(index)) return [];
  const entries = JSON.parse(readFileSync(index, "utf8")) as Entry[];
  return entries.map((entry) => ({
    ...entry,
    provider: PROVIDER_OF[entry.provider] ?? entry.provider,
    path: directory + entry.file,
    isOwn: directory === OWN,
  }));
}

/** Every fixture of a provider that the registry knows: a provider is replayed from the day its adapter is there. */
export function allFixtures(): Fixture[] {
  const folders = readdirSync(OWN, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const own = [`${OWN}index.json`, ...folders.map(({ name }) => `${OWN}${name}/index.json`)];
  return [...own.flatMap((index) => entriesOf(index, OWN)), ...entriesOf(`${RECORDED}index.json`, RECORDED)].filter(
    ({ provider }) => findProvider(provider) !== undefined,
  );
}

export const isStream = ({ kind }: Fixture): boolean => kind === "sse" || kind === "eventstream";
export const bytesOf = ({ path }: Fixture): Buffer => readFileSync(path);
/** Is the provider's stream written anew? Otherwise its bytes may pass as they are. */
export const isTranslated = ({ provider }: Fixture): boolean =>
  findProvider(provider)?.adapter.translation?.openReader !== undefined;

export const named = (fixtures: readonly Fixture[]): { readonly fixture: Fixture; readonly name: string }[] =>
  fixtures.map((fixture) => ({ fixture, name: `${fixture.isOwn ? "own" : "recorded"} ${fixture.file}` }));

/** In pieces of mostly a few bytes, at times most of a block. */
export function cutAtRandom(bytes: Uint8Array, random: () => number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + Math.floor(random() ** 3 * 900);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/**
 * One way to cut for each place from 1 to `strideBytes`: there, and again after each further `strideBytes`. Together
 * they cut at every place, in far fewer answers than places; a stride as long as the bytes makes one cut in each.
 */
export function cutsAtEveryPlace(bytes: Uint8Array, strideBytes: number): Uint8Array[][] {
  return Array.from({ length: Math.min(strideBytes, bytes.length - 1) }, (_, at) => {
    const pieces = [bytes.subarray(0, at + 1)];
    for (let start = at + 1; start < bytes.length; start += strideBytes) {
      pieces.push(bytes.subarray(start, start + strideBytes));
    }
    return pieces;
  });
}

/** What a client has after an answer, streamed or whole. */
export interface Answer {
  text: string;
  reasoning: string;
  refusal: string;
  toolPlan: string;
  finishReason: string | null;
  readonly choicesText: string[];
  readonly toolCalls: { id: string; name: string; arguments: string }[];
  readonly customCalls: { id: string; name: string; input: string }[];
  functionCall: { name: string; arguments: string } | null;
}

interface Message {
  readonly content?: unknown;
  readonly reasoning?: string | null;
  readonly reasoning_content?: string | null;
  readonly refusal?: string | null;
  readonly tool_plan?: string;
  readonly tool_calls?: readonly {
    readonly index?: number;
    readonly id?: string;
    readonly function?: { readonly name?: string; readonly arguments?: string };
    readonly custom?: { readonly name?: string; readonly input?: string };
  }[];
  readonly function_call?: { readonly name?: string; readonly arguments?: string } | null;
}

interface Choice {
  readonly index?: number;
  readonly delta?: Message;
  readonly message?: Message;
  readonly finish_reason?: string | null;
}

/** The answer in the chunks of a stream up to `[DONE]`, put together by the SDKs' rules. */
export function streamedAnswer(text: string): Answer {
  const answer = emptyAnswer();
  for (const data of eventData(text)) {
    if (data === "[DONE]") break;
    const { choices = [] } = JSON.parse(data) as { choices?: readonly Choice[] };
    for (const choice of choices) addChoice(answer, choice, choice.delta ?? {});
  }
  return answer;
}

export function wholeAnswer(body: object): Answer {
  const answer = emptyAnswer();
  for (const choice of (body as { readonly choices: readonly Choice[] }).choices) {
    const message = choice.message ?? {};
    const calls = message.tool_calls?.map((call, index) => ({ ...call, index }));
    addChoice(answer, choice, calls === undefined ? message : { ...message, tool_calls: calls });
  }
  return answer;
}

const emptyAnswer = (): Answer => ({
  ...{ text: "", reasoning: "", refusal: "", toolPlan: "", finishReason: null, functionCall: null },
  ...{ choicesText: [], toolCalls: [], customCalls: [] },
});

function addChoice(answer: Answer, { index: at = 0, finish_reason }: Choice, message: Message): void {
  const { text, thoughts } = readContent(message.content);
  answer.choicesText[at] = (answer.choicesText[at] ?? "") + text;
  if (at > 0) return;
  answer.text += text;
  answer.reasoning += thoughts + (message.reasoning_content ?? message.reasoning ?? "");
  answer.refusal += message.refusal ?? "";
  answer.toolPlan += message.tool_plan ?? "";
  answer.finishReason = finish_reason ?? answer.finishReason;
  if (message.function_call) {
    answer.functionCall ??= { name: "", arguments: "" };
    answer.functionCall.name += message.function_call.name ?? "";
    answer.functionCall.arguments += message.function_call.arguments ?? "";
  }
  for (const call of message.tool_calls ?? []) addCall(answer, call, call.index ?? 0);
}

function addCall(answer: Answer, call: NonNullable<Message["tool_calls"]>[number], at: number): void {
  if (call.custom !== undefined || answer.customCalls[at] !== undefined) {
    answer.customCalls[at] ??= { id: call.id ?? "", name: "", input: "" };
    answer.customCalls[at].name += call.custom?.name ?? "";
    answer.customCalls[at].input += call.custom?.input ?? "";
    return;
  }
  answer.toolCalls[at] ??= { id: call.id ?? "", name: "", arguments: "" };
  answer.toolCalls[at].name += call.function?.name ?? "";
  answer.toolCalls[at].arguments += call.function?.arguments ?? "";
}

/** Content may be a text, Mistral's parts, or an object where Workers AI was asked for JSON. */
function readContent(content: unknown): { text: string; thoughts: string } {
  if (typeof content === "string") return { text: content, thoughts: "" };
  if (content === null || content === undefined) return { text: "", thoughts: "" };
  if (!Array.isArray(content)) return { text: JSON.stringify(content), thoughts: "" };
  const parts = content as { type: string; text?: string; thinking?: { text?: string }[] }[];
  const thoughts = parts.flatMap(({ type, thinking = [] }) => (type === "thinking" ? thinking : []));
  return {
    text: parts.map(({ type, text = "" }) => (type === "text" ? text : "")).join(""),
    thoughts: thoughts.map(({ text = "" }) => text).join(""),
  };
}
