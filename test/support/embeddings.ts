/** Embedding routes of a rig, and scripted providers that embed. */
import type { ChatRig, TestRoute } from "./chat.ts";
import type { Script, ScriptSource } from "./upstream.ts";

type Json = Readonly<Record<string, unknown>>;

export interface EmbeddingRouteSpec {
  readonly targets: readonly Json[];
  readonly embedding: Json;
  readonly policy?: Json;
  readonly key?: Json;
}

export interface EmbeddingsBody {
  readonly object: string;
  readonly data: readonly { readonly index: number; readonly embedding: string | readonly number[] }[];
  readonly model: string;
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
  readonly flow: Json;
}

let count = 0;

/** A route of `production` with a key of its own. Throws when the policy is refused. */
export async function embeddingRoute(rig: ChatRig, spec: EmbeddingRouteSpec): Promise<TestRoute> {
  const name = `embed-${++count}`;
  const { targets, embedding, policy = {}, key } = spec;
  await rig.worker.putRoute("production", name, { retry: { backoff_ms: 20 }, ...policy, targets, embedding });
  const own = await rig.worker.createKey(key);
  return { model: `flow/${name}`, key: own.key, keyId: own.id, models: targets.map((each) => String(each["model"])) };
}

export function embed(rig: ChatRig, route: TestRoute, body: Json, headers: Record<string, string> = {}) {
  return rig.worker.fetch("/v1/embeddings", {
    method: "POST",
    headers: { ...rig.headers(route), ...headers },
    body: JSON.stringify({ model: route.model, ...body }),
  });
}

/** A vector that tells its text: of `dimensions`, and no two texts of a test have the same. */
export function vectorFor(text: string, dimensions: number): number[] {
  let seed = 7;
  for (const character of text) seed = (seed * 31 + character.codePointAt(0)!) % 100_003;
  return Array.from({ length: dimensions }, (_, at) => Math.fround((((seed + at * 37) % 2_003) - 1_001) / 10_000));
}

export function toBase64(vector: readonly number[]): string {
  return Buffer.from(Float32Array.from(vector).buffer).toString("base64");
}

export function fromBase64(text: string): number[] {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return [...new Float32Array(bytes.buffer)];
}

export const valuesOf = (embedding: unknown): number[] =>
  typeof embedding === "string" ? fromBase64(embedding) : (embedding as number[]);

/** Answers as OpenAI would, with `tokensEach` for every input. */
export function openAiEmbeds(dimensions: number, tokensEach = 3, more: Partial<Script> = {}): ScriptSource {
  return ({ body }) => {
    const asked = JSON.parse(body) as { model: string; input: unknown; encoding_format?: string; dimensions?: number };
    const inputs = (
      Array.isArray(asked.input) && typeof asked.input[0] !== "number" ? asked.input : [asked.input]
    ) as unknown[];
    const data = inputs.map((input, index) => {
      const vector = vectorFor(
        typeof input === "string" ? input : JSON.stringify(input),
        asked.dimensions ?? dimensions,
      );
      return { object: "embedding", index, embedding: asked.encoding_format === "base64" ? toBase64(vector) : vector };
    });
    const tokens = inputs.length * tokensEach;
    return {
      json: { object: "list", data, model: asked.model, usage: { prompt_tokens: tokens, total_tokens: tokens } },
      ...more,
    };
  };
}
