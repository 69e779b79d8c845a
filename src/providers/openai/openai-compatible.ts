/** The adapter for providers that speak OpenAI's protocol, driven by the rows of `rows.ts`. */
import { contentRefusal, missingCapability, toOpenAiRequest } from "../../wires/openai-chat/request.ts";
import type { Provider, ProviderConfig, Refusal, Secrets } from "../adapter.ts";
import { openAiEmbeddings } from "../embeddings/openai.ts";
import { EMBEDDING_ROWS } from "../embeddings/rows.ts";
import { limitsAt } from "../model-limits.ts";
import { withResponsesForTools } from "../native/responses-for-tools.ts";
import { rowInWire } from "../native/row-wires.ts";
import { baseUrlName, baseUrlOf, secretText } from "../provider-settings.ts";
import type { ProviderRow } from "../rows.ts";
import { chatTranslation, classifyRow } from "./chat-translation.ts";

export function openAiProvider(row: ProviderRow): Provider {
  const provider = chatProvider(row);
  const inWire = rowInWire(row, provider);
  const chat = inWire === undefined ? provider : { ...provider, inWire };
  const { responsesPath, quirks: { responsesUrl } = {} } = row;
  if (responsesUrl !== undefined) return withResponsesForTools(chat, responsesUrl);
  return responsesPath === undefined ? chat : withResponsesForTools(chat, ({ baseUrl }) => baseUrl + responsesPath);
}

function chatProvider(row: ProviderRow): Provider {
  const limitsOf = limitsAt(row.id);
  const { quirks = {}, embedsOnly: isNoChat = false } = row;
  const embedding = Object.hasOwn(EMBEDDING_ROWS, row.id) ? EMBEDDING_ROWS[row.id] : undefined;
  return {
    id: row.id,
    adapter: {
      sameWire: "openai-chat",
      isClean: row.clean !== undefined,
      translation: chatTranslation(row),
      toUpstream: (call) =>
        toOpenAiRequest(quirks.rowFor?.(call.config) ?? row, call, { url: quirks.chatUrl?.(call), limitsOf }),
      classify: (error) => classifyRow(row, error),
    },
    requires: requiredSets(row),
    pool: row.secrets,
    configure: quirks.configure ?? ((secrets) => configure(row, secrets)),
    lacks: ({ fields }, model) => (isNoChat ? "messages" : missingCapability(row, fields, model, limitsOf)),
    refuses: ({ fields }) => (isNoChat ? noChat(row.id) : contentRefusal(row, fields)),
    ...(embedding === undefined ? {} : { embedding: openAiEmbeddings(embedding, row) }),
  };
}

function noChat(id: string): Refusal {
  return { param: "model", message: `\`${id}\` has no models that chat: it embeds.` };
}

/** One of its secrets, and what its address is made of or the address itself. */
function requiredSets({ id, baseUrl, secrets, keyless }: ProviderRow): readonly (readonly string[])[] {
  const inUrl = [...(baseUrl ?? "").matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const addresses = baseUrl === undefined ? [] : [inUrl];
  if (baseUrl === undefined || inUrl.length > 0) addresses.push([baseUrlName(id)]);
  const keys = keyless === true ? [[]] : secrets.map((name) => [name]);
  return addresses.flatMap((address) => keys.map((key) => [...key, ...address]));
}

function configure(row: ProviderRow, secrets: Secrets): ProviderConfig | null {
  const baseUrl = baseUrlOf(row.id, row.baseUrl, secrets);
  if (baseUrl === null) return null;
  const name = row.secrets.find((each) => secrets[each] !== undefined && secrets[each] !== "");
  if (name === undefined) return row.keyless === true ? { baseUrl, headers: {} } : null;
  const secret = secretText(secrets[name]);
  return secret === null ? null : { baseUrl, headers: { authorization: `Bearer ${secret}` } };
}
