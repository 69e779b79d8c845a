/**
 * An operator's own endpoint, which speaks OpenAI's protocol.
 *
 * Its address is taken literally, never as a template, and its secret by the one name in its record: the record came
 * in through the admin endpoints and must not reach any other variable of the Worker.
 */
import { upstreamUrl } from "../../lib/upstream-url.ts";
import type { Provider, ProviderConfig, Secrets } from "../adapter.ts";
import type { Credential } from "../credential-pool.ts";
import { openAiEmbeddings } from "../embeddings/openai.ts";
import { PLAIN_ROW } from "../embeddings/rows.ts";
import type { ProviderRow } from "../provider-row.ts";
import { secretText } from "../provider-settings.ts";
import { openAiProvider } from "./openai-compatible.ts";

export interface OperatorEndpoint {
  readonly id: string;
  readonly base_url: string;
  /** Name of a Worker secret; `null`: none is sent. */
  readonly secret: string | null;
  /** Names of several, in place of `secret`. */
  readonly secrets?: readonly string[] | undefined;
  /** The operator says that its streams need no mending. */
  readonly clean?: boolean | undefined;
}

export function operatorProvider(endpoint: OperatorEndpoint): Provider {
  const names = endpoint.secrets ?? [endpoint.secret];
  const configureAll = (secrets: Secrets): readonly Credential[] =>
    names.flatMap((secret, at) => {
      const config = configure({ ...endpoint, secret }, secrets);
      return config === null ? [] : [{ number: at + 1, config }];
    });
  const { pool: _none, ...provider } = openAiProvider(rowOf(endpoint));
  return {
    ...provider,
    embedding: openAiEmbeddings(PLAIN_ROW, {}),
    // Any of them is enough.
    requires: names.map((name) => (name === null ? [] : [name])),
    configure: (secrets) => configureAll(secrets)[0]?.config ?? null,
    credentials: configureAll,
  };
}

/**
 * What is behind it only the operator knows: it may be another router, with a model of any provider's, so marks for
 * caches and signatures of calls go through, and tools as they came.
 */
function rowOf({ id, clean }: OperatorEndpoint): ProviderRow {
  const history = { keeps: ["extra_content"] };
  const own = clean === true ? { clean: "the operator" } : {};
  return { id, source: "", secrets: [], cacheMarks: true, looseTools: true, customTools: true, history, ...own };
}

function configure({ base_url, secret }: OperatorEndpoint, secrets: Secrets): ProviderConfig | null {
  // Checked again: what may be called is the deployment's to say, and it may have changed since.
  const baseUrl = upstreamUrl(base_url, secrets["FLOW_ALLOW_PRIVATE_UPSTREAMS"] === "1" ? "any" : "public");
  if (baseUrl === null) return null;
  if (secret === null) return { baseUrl, headers: {} };
  const text = secretText(secrets[secret]);
  return text === null || text === "" ? null : { baseUrl, headers: { authorization: `Bearer ${text}` } };
}
