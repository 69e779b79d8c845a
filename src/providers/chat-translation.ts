/** How answers of providers that speak OpenAI's protocol become those that every client can read. */
import { aliasesFor } from "../wires/openai-chat/edit/names.ts";
import type { MendOptions } from "../wires/openai-chat/mend/message.ts";
import { readCompletion } from "../wires/openai-chat/read-completion.ts";
import { FrameReader } from "../wires/openai-chat/read-frames.ts";
import type { AnswerContext, Translation } from "./adapter.ts";
import type { ProviderRow } from "./provider-row.ts";

/** OpenAI's own wire: answers pass as they are, where they are as they should be. */
export function chatTranslation(row: ProviderRow): Translation {
  const optionsOf = ({ traceId, fields }: AnswerContext): MendOptions => {
    const names = aliasesFor(row, fields);
    const ownName = names === null ? undefined : (sent: string) => names.own(sent).name;
    return { seed: traceId, finishWords: row.finishWords, ownName };
  };
  return {
    passesNatively: ({ fields }) => row.clean !== undefined && aliasesFor(row, fields) === null,
    toCompletion: (body, context, text) => readCompletion(text ?? JSON.stringify(body), body, optionsOf(context)),
    openFrames: (context) => new FrameReader(optionsOf(context)),
  };
}
