/**
 * Recorded answers of the Responses API, read whole and in any pieces, and written again for a client.
 *
 * The recordings are not part of the project: without them nothing is tested here.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Answer, AnswerEvent } from "../../../../src/conversation/answer.ts";
import type { Turn } from "../../../../src/conversation/conversation.ts";
import type { Json, Part } from "../../../../src/conversation/part.ts";
import { responsesWire } from "../../../../src/wires/openai-responses/wire.ts";
import type { AnswerContext } from "../../../../src/wires/wire.ts";
import { answerOf, chunksOf } from "../../../support/answers.ts";
import { type Leniency, readProtocol } from "../../../support/responses-protocol.ts";

interface Recording {
  readonly file: string;
  readonly wire: string;
  readonly kind: string;
  readonly provider: string;
  readonly expect: {
    readonly text?: string;
    readonly reasoning_text?: string;
    readonly tool_calls?: readonly { id: string; name: string; arguments_json: string; kind: string }[];
    readonly encrypted_reasoning?: boolean;
    readonly finish_reason?: string;
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly cached_tokens?: number;
    readonly reasoning_tokens?: number;
    readonly model?: string;
    readonly error?: { readonly message: string };
  };
}

const FOLDER = join(import.meta.dirname, "../../../../../shared/doors");
const all: Recording[] = existsSync(FOLDER) ? JSON.parse(readFileSync(join(FOLDER, "index.json"), "utf8")) : [];
const recordings = all.filter(({ wire, kind }) => wire === "responses" && (kind === "sse" || kind === "json"));

const contextOf = (provider: string): AnswerContext => ({
  provider,
  model: "asked-for",
  traceId: `tr_${"a".repeat(32)}`,
  createdAt: 1_800_000_000,
  conversation: null,
});

function readStream(text: string, provider: string, lengths: readonly number[]): AnswerEvent[] {
  const reader = responsesWire.openReader(contextOf(provider));
  const events = chunksOf(text, lengths).flatMap((chunk) => reader.push(chunk));
  return [...events, ...reader.end()];
}

function answerOfFile({ file, kind, provider }: Recording): Answer {
  const text = readFileSync(join(FOLDER, file), "utf8");
  if (kind === "sse") return answerOf(readStream(text, provider, [65_536]));
  const read = responsesWire.readAnswer(text, JSON.parse(text), contextOf(provider));
  if (!read.ok) throw new Error(read.failure.class);
  return read.answer;
}

const textOf = (parts: readonly Part[], kind: "text" | "reasoning"): string[] =>
  parts.flatMap((part) => (part.kind === kind && part.text !== "" ? [part.text] : []));

describe.skipIf(recordings.length === 0)("recordings", () => {
  test.each(recordings.filter((each) => each.expect.error === undefined))("$file", (recording) => {
    const expected = recording.expect;
    const answer = answerOfFile(recording);
    const [{ parts, finish } = { parts: [], finish: { reason: "" } }] = answer.choices;
    expect(textOf(parts, "text").join("")).toBe(expected.text);
    const reasoning = textOf(parts, "reasoning").join("\n\n");
    if (expected.reasoning_text?.endsWith("...") === true) {
      expect(reasoning).toContain(expected.reasoning_text.slice(0, -3));
    } else expect(reasoning).toBe(expected.reasoning_text ?? "");
    const calls = parts.flatMap((part) => (part.kind === "call" ? [part] : []));
    expect(calls.map(({ id, name, args, form }) => ({ id, name, arguments_json: args, kind: form }))).toEqual(
      (expected.tool_calls ?? []).map(({ id, name, arguments_json, kind }) => ({ id, name, arguments_json, kind })),
    );
    const isEncrypted = parts.some(({ kind, bound }) => kind === "reasoning" && bound?.encrypted !== undefined);
    expect(isEncrypted).toBe(expected.encrypted_reasoning ?? false);
    expect(finish.reason).toBe(expected.finish_reason);
    expect(answer.model).toBe(expected.model);
    // One of them ends without figures.
    if (expected.prompt_tokens === 0) return;
    expect(answer.usage).toMatchObject({ prompt: expected.prompt_tokens, completion: expected.completion_tokens });
    expect(answer.usage?.cached ?? 0).toBe(expected.cached_tokens);
    expect(answer.usage?.reasoning ?? 0).toBe(expected.reasoning_tokens);
  });

  const streams = recordings.filter(({ kind }) => kind === "sse");
  test.each(streams)("$file gives the same events in any pieces", ({ file, provider }) => {
    const text = readFileSync(join(FOLDER, file), "utf8");
    const events = readStream(text, provider, [1 << 20]);
    for (const lengths of [[1], [7, 1, 113], [4096]]) expect(readStream(text, provider, lengths)).toEqual(events);
  });

  test.each(streams.filter((each) => each.expect.error !== undefined))("$file ends with its error", (recording) => {
    const text = readFileSync(join(FOLDER, recording.file), "utf8");
    const events = readStream(text, recording.provider, [4096]);
    const said = events.flatMap((event) => (event.kind === "text" ? [event.text] : [])).join("");
    expect(said).toBe(recording.expect.text);
    expect(events.at(-1)).toMatchObject({
      kind: "error",
      body: { error: { message: recording.expect.error?.message } },
    });
    expect(events.filter(({ kind }) => kind === "error" || kind === "finish")).toHaveLength(1);
  });

  test.each(streams)("$file breaks no rule of the protocol that providers keep", ({ file }) => {
    const lenient: Leniency = {
      ...{ noEventLines: true, emptySnapshot: true, changingHead: true, noDone: true, looseItems: true },
      ...{ noSequence: true, errorEvent: true },
    };
    const faults = readProtocol(readFileSync(join(FOLDER, file), "utf8"), lenient).faults;
    expect(faults.filter((fault) => !/data lines|ends inside/.test(fault))).toEqual([]);
  });

  test.each(recordings.filter((each) => each.expect.error === undefined))("$file is written again", (recording) => {
    const context = contextOf(recording.provider);
    const answer = answerOfFile(recording);
    const writer = responsesWire.openWriter(context);
    const text = readFileSync(join(FOLDER, recording.file), "utf8");
    const written =
      recording.kind === "sse" ? writer.write(readStream(text, recording.provider, [4096])) + writer.end() : "";
    const whole = responsesWire.writeAnswer(answer, context);
    if (recording.kind === "sse") {
      const { faults, response } = readProtocol(written);
      expect(faults).toEqual([]);
      expect({ ...response, completed_at: 0 }).toEqual({ ...whole, completed_at: 0 });
    }
    const again = responsesWire.readAnswer(JSON.stringify(whole), whole, context);
    if (!again.ok) throw new Error("not read");
    expect({ ...again.answer, rawUsage: 0, id: 0 }).toEqual({
      ...answer,
      // What the figures say besides counts has no place in the object.
      ...{ rawUsage: 0, id: 0, usage: again.answer.usage },
      choices: answer.choices.map(({ parts, ...choice }) => ({
        ...choice,
        finish: again.answer.choices[0]?.finish,
        // Thoughts in full are shown to clients as a summary.
        parts: parts.map((part) => (part.kind === "reasoning" && !part.bound ? { ...part, form: "summary" } : part)),
      })),
    });
  });
});

interface RecordedRequest {
  readonly file: string;
  readonly expect: {
    readonly status?: number;
    readonly names?: string;
    readonly code?: string;
    readonly messages?: readonly {
      readonly role: string;
      readonly id?: string;
      readonly texts?: readonly string[];
      readonly parts?: readonly { readonly text?: string; readonly image?: unknown; readonly file?: unknown }[];
      readonly calls?: readonly {
        readonly id: string;
        readonly name: string;
        readonly arguments_json?: string;
        readonly input?: string;
      }[];
    }[];
    readonly tools?: readonly { readonly name: string }[];
    readonly never_upstream?: readonly string[];
  };
}

const requests = (all as unknown as (Recording & RecordedRequest)[]).filter(
  ({ wire, kind, expect: { messages, names } }) =>
    wire === "responses" && kind === "request" && (messages ?? names) !== undefined,
);

describe.skipIf(requests.length === 0)("recorded requests", () => {
  test.each(requests)("$file", ({ file, expect: expected }) => {
    const fields = JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as Json;
    if (expected.names !== undefined) {
      expect(() => responsesWire.readRequest(fields)).toThrow(expected.names);
      return;
    }
    const conversation = responsesWire.readRequest(fields);
    const turns = mergedTurns(conversation.turns);
    expect(turns.map(({ role }) => role)).toEqual(expected.messages?.map(({ role }) => role));
    for (const [at, message] of (expected.messages ?? []).entries()) {
      const parts = (turns[at]?.parts ?? []).flatMap((part) => (part.kind === "result" ? [...part.parts] : [part]));
      const texts = textOf(parts, "text");
      // Long texts of the expectation are shortened in their middle.
      for (const text of message.texts ?? message.parts?.flatMap((part) => part.text ?? []) ?? []) {
        expect(texts.some((each) => each.startsWith(text.slice(0, 300)))).toBe(true);
      }
      expect(parts.filter(({ kind }) => kind === "image")).toHaveLength(
        message.parts?.filter((part) => part.image).length ?? 0,
      );
      expect(parts.filter(({ kind }) => kind === "file")).toHaveLength(
        message.parts?.filter((part) => part.file).length ?? 0,
      );
      const calls = parts.flatMap((part) => (part.kind === "call" ? [part] : []));
      expect(calls.map(({ id, name, args }) => ({ id, name, args }))).toEqual(
        (message.calls ?? []).map(({ id, name, arguments_json, input }) => ({
          id,
          name,
          args: arguments_json ?? input,
        })),
      );
    }
    const offered = conversation.tools.flatMap((tool) => (tool.kind === "provider" ? [] : [tool.name]));
    expect(offered).toEqual(expect.arrayContaining((expected.tools ?? []).map(({ name }) => name)));
    // What another provider encrypted does not leave for this one.
    const tagged = {
      ...conversation,
      turns: conversation.turns.map((turn) => ({ ...turn, parts: turn.parts.map(ofOpenAi) })),
    };
    const to = { provider: "xai", model: "m", maxOutputTokens: undefined };
    const { body } = responsesWire.writeRequest(tagged, to);
    for (const text of expected.never_upstream ?? []) expect(body).not.toContain(text);
  });
});

function ofOpenAi(part: Part): Part {
  return part.bound?.encrypted === undefined ? part : { ...part, bound: { ...part.bound, provider: "openai" } };
}

/** Neighbours of one role as one, tool results each on its own; `system` stands for `developer` too. */
function mergedTurns(turns: readonly Turn[]): { role: string; parts: Part[] }[] {
  const merged: { role: string; parts: Part[] }[] = [];
  for (const turn of turns) {
    const role = turn.role === "developer" ? "system" : turn.role;
    const said = turn.parts.filter(({ kind }) => kind !== "opaque" && kind !== "block" && kind !== "reasoning");
    if (said.length === 0) continue;
    const last = merged.at(-1);
    if (last?.role === role && role !== "tool") last.parts.push(...said);
    else merged.push({ role, parts: [...said] });
  }
  return merged;
}
