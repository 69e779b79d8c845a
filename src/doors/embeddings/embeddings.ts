/** `POST /v1/embeddings`. */
import type { Context } from "hono";
import type { AppEnv } from "../../config.ts";
import { errorResponse } from "../../http/errors.ts";
import { bearerToken } from "../../relay/authenticate.ts";
import type { AnyDoor } from "../../relay/door.ts";
import { relayEmbeddings } from "../../relay/request/embeddings.ts";
import { parseEmbeddingsRequest } from "../../wires/openai-embeddings/request-fields.ts";

export const embeddingsDoor: AnyDoor = {
  api: "embeddings",
  kind: "embedding",
  token: bearerToken,
  parse: parseEmbeddingsRequest,
  errorResponse,
};

export function postEmbeddings(context: Context<AppEnv>): Promise<Response> {
  return relayEmbeddings(context, embeddingsDoor);
}
