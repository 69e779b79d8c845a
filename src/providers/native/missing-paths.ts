/** APIs that an endpoint turned out not to have: one isolate's own experience, remembered for an hour. */
import { isJsonObject } from "../../lib/json.ts";
import type { UpstreamError } from "../adapter.ts";

const REMEMBERED_MS = 3_600_000;
const MAX_PLACES = 256;
/** Address and model, or address → until when (epoch ms) the path counts as missing. */
const missing = new Map<string, number>();

export function noteMissing(place: string): void {
  if (missing.size >= MAX_PLACES) missing.clear();
  missing.set(place, Date.now() + REMEMBERED_MS);
}

export function isMissing(place: string, now: number): boolean {
  const until = missing.get(place);
  if (until === undefined) return false;
  if (now < until) return true;
  missing.delete(place);
  return false;
}

/** Codes of a 404 that is about the model and not about the path. */
const MODEL_CODES: ReadonlySet<string> = new Set(["model_not_found", "deploymentnotfound", "unknown_model"]);

export function isPathUnknown({ status, body }: UpstreamError): boolean {
  if (status !== 404 && status !== 405) return false;
  const error = isJsonObject(body) ? body["error"] : undefined;
  const code = isJsonObject(error) ? error["code"] : undefined;
  return !(typeof code === "string" && MODEL_CODES.has(code.toLowerCase()));
}
