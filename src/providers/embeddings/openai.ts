/** The adapter for providers that embed in OpenAI's protocol, driven by the rows of `rows.ts`. */
import { lacksWord } from "../../embedding/input-type.ts";
import { readAnswer } from "../../wires/openai-embeddings/read-answer.ts";
import { writeRequest } from "../../wires/openai-embeddings/write-request.ts";
import type { ProviderRow } from "../provider-row.ts";
import { upstreamHeaders } from "../provider-settings.ts";
import type { EmbeddingAdapter, EmbeddingCall } from "./adapter.ts";
import type { EmbeddingRow } from "./rows.ts";

export function openAiEmbeddings(row: EmbeddingRow, { quirks = {} }: Pick<ProviderRow, "quirks">): EmbeddingAdapter {
  const { limits, base64 = row.encoding === null ? "none" : "has" } = row;
  return {
    limits: (model) => (typeof limits === "function" ? limits(model) : limits),
    base64,
    takesTokens: row.takesTokens === true,
    takesDimensions: row.dimensions !== null,
    isNative: true,
    lacksInputType: (word) =>
      row.inputType !== undefined && row.inputType !== null && lacksWord(word, row.inputType.words),
    toUpstream(call) {
      const { body, dropped } = writeRequest(call, row);
      return {
        url: addressOf(call, quirks),
        headers: upstreamHeaders(call.config, false),
        body,
        droppedParams: dropped,
      };
    },
    read: readAnswer,
  };
}

/** Next to the chat endpoint, wherever that is. */
function addressOf({ config, model }: EmbeddingCall, { chatUrl }: NonNullable<ProviderRow["quirks"]>): string {
  const chat = chatUrl?.({ config, model }) ?? `${config.baseUrl}/chat/completions`;
  return chat.replace("/chat/completions", "/embeddings");
}
