/**
 * The addresses of Azure OpenAI's clients, in front of the same doors: the deployment's name in the path is the model.
 * Any `api-version` will do. https://learn.microsoft.com/azure/ai-foundry/openai/reference
 */
import type { Context } from "hono";
import type { AppEnv } from "../../config.ts";
import { RouterError } from "../../http/errors.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import { relay } from "../../relay/relay.ts";
import { relayEmbeddings } from "../../relay/request/embeddings.ts";
import { parseChatRequest } from "../../wires/openai-chat/request-fields.ts";
import { parseEmbeddingsRequest } from "../../wires/openai-embeddings/request-fields.ts";
import { chatDoor } from "../chat/chat.ts";
import { embeddingsDoor } from "../embeddings/embeddings.ts";

const DEPLOYMENT = /^\/openai\/deployments\/(.+)\/(chat\/completions|embeddings)$/;

/** The call that a path names, as it is spelled there; `null`: none that is served. */
export function deploymentCallOf(pathname: string): "chat/completions" | "embeddings" | null {
  const call = DEPLOYMENT.exec(pathname)?.[2];
  return call === "embeddings" || call === "chat/completions" ? call : null;
}

/** `POST /openai/deployments/{model}/…`; `{model}` is all between, decoded once. */
export function postDeployment(context: Context<AppEnv>): Promise<Response> {
  const [, named = "", call] = DEPLOYMENT.exec(new URL(context.req.url).pathname) ?? [];
  const bodyOf = (body: string): string => withModel(body, decoded(named));
  return call === "embeddings"
    ? relayEmbeddings(context, { ...embeddingsDoor, parse: (body) => parseEmbeddingsRequest(bodyOf(body)) })
    : relay(context, { ...chatDoor, parse: (body) => parseChatRequest(bodyOf(body)) });
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    const message = "The deployment in the path is not validly encoded. Encode the name of the route once.";
    throw new RouterError("invalid_request", message, { param: "model" });
  }
}

/** What is no JSON object is left for the reader of the body to refuse. */
function withModel(body: string, model: string): string {
  return isJsonObject(tryParseJson(body)) ? new JsonEdit(body).set("model", model).toString() : body;
}
