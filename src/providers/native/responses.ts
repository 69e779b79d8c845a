/** OpenAI's Responses API, at OpenAI and wherever else a provider documents it. */

import { isJsonObject } from "../../lib/json.ts";
import { editRequest } from "../../wires/openai-responses/same-wire/edit-request.ts";
import { responsesWire } from "../../wires/openai-responses/wire.ts";
import type { UpstreamError, UpstreamFailure } from "../adapter.ts";
import type { SameWireFace } from "./same-wire.ts";

export interface ResponsesSettings {
  readonly provider: string;
  readonly url: SameWireFace["url"];
  readonly classify: (error: UpstreamError) => UpstreamFailure;
  /** What its encrypted thoughts begin with, where that identifies them. */
  readonly thoughts?: string | undefined;
  readonly isClean: boolean;
  readonly actions?: readonly string[] | undefined;
}

/** OpenAI's own, and Azure's: a Fernet token. */
const OPENAI_THOUGHTS = "gAAAA";

export function responsesFace({
  provider,
  url,
  classify,
  thoughts,
  isClean,
  actions,
}: ResponsesSettings): SameWireFace {
  const ownsThoughts = (encrypted: string): boolean =>
    thoughts === undefined ? !encrypted.startsWith(OPENAI_THOUGHTS) : encrypted.startsWith(thoughts);
  return {
    wire: responsesWire,
    url,
    edit: (call, params) =>
      editRequest(call, { provider, params, ownsThoughts, looksUpThoughts: thoughts === OPENAI_THOUGHTS }),
    classify: (error) => withThoughts(classify(error), error),
    isClean,
    actions,
    announcesThinking: false,
  };
}

/** Thoughts that it did not encrypt itself. Another target may read them, or does not get them. */
const UNREADABLE_THOUGHTS = "invalid_encrypted_content";

function withThoughts(failure: UpstreamFailure, { body }: UpstreamError): UpstreamFailure {
  const error = isJsonObject(body) ? body["error"] : undefined;
  const code = isJsonObject(error) ? error["code"] : undefined;
  return code === UNREADABLE_THOUGHTS ? { ...failure, class: "capability", tryNext: true } : failure;
}
