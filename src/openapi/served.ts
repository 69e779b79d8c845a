/**
 * `GET /openapi.json`, as the build has written it: made in the Worker, the document would cost bundle, start-up and time
 * for what never changes while a deployment lives.
 */
import text from "../../.wrangler/openapi.txt";

export function getOpenApi(): Response {
  return new Response(text, { headers: { "content-type": "application/json" } });
}
