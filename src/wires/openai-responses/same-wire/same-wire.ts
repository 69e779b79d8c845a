/** Answers of a provider that speaks Responses, for a client that does: as they came, but for what the router decides. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { SseItems } from "../../sse-items.ts";
import type { AnswerContext, SameWire } from "../../wire.ts";
import { enclose, isEnclosed } from "../envelope.ts";
import { objectsOf, textOf, WIRE } from "../items.ts";
import { readAnswer } from "../read-answer.ts";
import { ResponsesReader } from "../read-stream.ts";
import { ResponseForwarder, setMembers } from "./forward.ts";
import { QuietItems } from "./quiet-items.ts";

const COMPACTION = "response.compaction";

/** `members`: of the response, what the request decides; asked when an answer begins. */
export function sameWire(members: () => Json): SameWire {
  return {
    openItems(context, isQuiet = false) {
      const reader = new ResponsesReader(context);
      return isQuiet ? new QuietItems(reader) : new SseItems(reader);
    },
    openForwarder: (context) => new ResponseForwarder(context, members()),
    readWhole(text, body, context) {
      const read = readAnswer(text, body, context);
      if (!read.ok) return read;
      const { answer } = read;
      if (body["object"] !== COMPACTION) {
        const own = members();
        return { ok: true, text: setMembers(text, own), body: { ...body, ...own }, answer };
      }
      // A compacted conversation is no response, and its client goes on with it as it is.
      const calls = answer.choices.some(({ parts }) => parts.some(({ kind }) => kind === "call"));
      return { ok: true, text, body: { model: "", ...body }, answer, isPlain: !calls };
    },
    // Nothing is stored upstream: a response that is stored here, or goes on from one, has to say so itself.
    readsEvents: () => Object.values(members()).some((value) => value !== null && value !== false),
  };
}

/** A response as it is kept: what its provider encrypted says whose it is. */
export function kept(response: Json, { provider }: AnswerContext): Json {
  const { output } = response;
  if (!Array.isArray(output)) return response;
  const marked = objectsOf(output).map((item) => {
    const content = item["type"] === "reasoning" ? textOf(item["encrypted_content"]) : undefined;
    if (content === undefined || isEnclosed(content)) return item;
    const bound = { wire: WIRE, provider, encrypted: content, id: textOf(item["id"]) } as const;
    return { ...item, encrypted_content: enclose({ of: "reasoning", bound }) };
  });
  return isJsonObject(response) ? { ...response, output: marked } : response;
}
