/** The shape of the answer as an instruction, for a provider or a request that can have it in no other way. */
import type { Json } from "../conversation/part.ts";

/** `schema`: `null` for any JSON object. */
export function jsonInstruction(schema: Json | null): string {
  const shape = schema === null ? "" : ` It must match this JSON Schema: ${JSON.stringify(schema)}`;
  return `Answer with one JSON object and nothing else: no Markdown fence, no text before or after it.${shape}`;
}
