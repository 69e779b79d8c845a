/** The routes that clients embed through: a provider that is scripted, the sandbox, and one that is down. */
import { openAiEmbeds, vectorFor } from "../support/embeddings.ts";
import { type Rig, startRig } from "../support/rig.ts";

/** Numbers of each vector, and what each text costs the scripted provider. */
export const DIMENSIONS = 8;
export const TOKENS_EACH = 3;

/** The vector that the scripted provider answers for `text`. */
export const expectedFor = (text: string): number[] => vectorFor(text, DIMENSIONS);

/** A rig with a route per kind of answer, and a key for all of them. */
export async function startEmbeddings(): Promise<{ readonly rig: Rig; readonly key: string }> {
  const rig = await startRig();
  const models = { vectors: "vectors-1", lost: "vectors-down" };
  for (const [name, model] of Object.entries(models)) {
    await rig.worker.putRoute("production", name, {
      embedding: { space: model, dimensions: DIMENSIONS },
      targets: [{ provider: "openai", model, same_space: true }],
      retry: { same_target: 0 },
    });
  }
  await rig.worker.putRoute("production", "sandbox-vectors", {
    embedding: { space: "sandbox", dimensions: DIMENSIONS },
    targets: [{ provider: "sandbox", model: "sandbox", same_space: true }],
  });
  rig.upstream.scriptFor(models.vectors, openAiEmbeds(DIMENSIONS, TOKENS_EACH));
  rig.upstream.scriptFor(models.lost, {
    status: 500,
    json: { error: { message: "boom", type: "server_error", code: null } },
  });
  return { rig, key: (await rig.worker.createKey()).key };
}
