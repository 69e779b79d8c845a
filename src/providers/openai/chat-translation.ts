/** How answers and errors of providers that speak OpenAI's protocol become those that every client can read. */
import { isJsonObject } from "../../lib/json.ts";
import { reportsFailure } from "../../wires/openai-chat/chunk.ts";
import { aliasesFor, textToolsFor } from "../../wires/openai-chat/edit/names.ts";
import type { MendOptions } from "../../wires/openai-chat/mend/message.ts";
import { readCompletion } from "../../wires/openai-chat/read-completion.ts";
import { FrameReader } from "../../wires/openai-chat/read-frames.ts";
import type { AnswerContext, TranslatedAnswer, Translation, UpstreamError, UpstreamFailure } from "../adapter.ts";
import { classifyError } from "../classify.ts";
import type { ProviderRow } from "../provider-row.ts";

const NO_HEADERS = new Headers();

/** OpenAI's own wire: answers pass as they are, where they are as they should be. */
export function chatTranslation(row: ProviderRow): Translation {
  const optionsOf = ({ traceId, asked: { fields } }: AnswerContext): MendOptions => {
    const names = aliasesFor(row, fields);
    const ownName = names === null ? undefined : (sent: string) => names.own(sent).name;
    return { seed: traceId, finishWords: row.finishWords, ownName, textTools: textToolsFor(row, fields, names) };
  };
  return {
    passesNatively: ({ asked: { fields } }) =>
      row.clean !== undefined && aliasesFor(row, fields) === null && textToolsFor(row, fields, null) === null,
    toCompletion: (body, context, text) => completionOf(row, text ?? JSON.stringify(body), body, optionsOf(context)),
    openFrames: (context) => new FrameReader(optionsOf(context)),
  };
}

function completionOf(row: ProviderRow, text: string, body: unknown, options: MendOptions): TranslatedAnswer {
  if (!isJsonObject(body)) return readCompletion(text, body, options);
  if (reportsFailure(body)) {
    return { ok: false, failure: classifyRow(row, { status: 200, headers: NO_HEADERS, body }) };
  }
  const answer = row.quirks?.unwrapAnswer?.(text, body) ?? { text, body };
  const read = readCompletion(answer.text, answer.body, options);
  // Out of an envelope the exact text is a part of the body's.
  return read.ok && answer.body !== body ? { ...read, text: read.text ?? answer.text } : read;
}

export function classifyRow({ codes, quirks }: ProviderRow, error: UpstreamError): UpstreamFailure {
  const body = quirks?.unwrapError === undefined ? error.body : quirks.unwrapError(error.body);
  return classifyError({ ...error, body }, Date.now(), codes);
}
