/**
 * A provider by an API that clients speak as well: their body is edited and passed on, the answer comes as it is.
 *
 * Nothing of a request is lost on this way, so nothing is refused for what another wire could not say.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { readControls } from "../../wires/openai-chat/read-request.ts";
import type { RequestTarget, UpstreamWire } from "../../wires/wire.ts";
import type {
  AdapterCall,
  Provider,
  ProviderConfig,
  UpstreamError,
  UpstreamFailure,
  UpstreamRequest,
} from "../adapter.ts";
import { upstreamHeaders } from "../provider-settings.ts";
import { isMissing, isPathUnknown, noteMissing } from "./missing-paths.ts";

export interface SameWireFace {
  readonly wire: UpstreamWire;
  /** Where it is called, without an action's own path behind it. */
  readonly url: (config: ProviderConfig) => string;
  /** In place of the configuration's headers. */
  readonly headers?: (call: AdapterCall) => Readonly<Record<string, string>>;
  /** The body for the provider. `params`: what the policy's come to in this wire. */
  readonly edit: (call: AdapterCall, params: Json) => { readonly body: string; readonly dropped: readonly string[] };
  readonly classify: (error: UpstreamError) => UpstreamFailure;
  readonly isClean: boolean;
  readonly actions?: readonly string[] | undefined;
  readonly announcesThinking: boolean;
  readonly openHeaders?: readonly string[];
  /** The API is the provider's main one: an unknown path is no sign that it lacks it. */
  readonly isOwn?: boolean;
}

/** `undefined` while the endpoint is known not to have the API. */
export function inSameWire(base: Provider, face: SameWireFace, config: ProviderConfig): Provider | undefined {
  const address = `${base.id} ${face.url(config)}`;
  const now = Date.now();
  if (face.isOwn !== true && isMissing(address, now)) return undefined;
  const { lacks: _lacks, refuses: _refuses, forRequest: _forRequest, inWire: _inWire, ...rest } = base;
  const placeOf = (action: string | undefined): string => (action === undefined ? address : `${address}/${action}`);
  // One request is served by what this returns: what it asks for is what its errors are about.
  let asked: string | undefined;
  return {
    ...rest,
    adapter: {
      sameWire: face.wire.id,
      isClean: face.isClean,
      actions: (face.actions ?? []).filter((action) => !isMissing(placeOf(action), now)),
      announcesThinking: face.announcesThinking,
      toUpstream(call) {
        asked = call.action;
        return toUpstream(face, call);
      },
      classify(error) {
        const isOwn = face.isOwn === true && asked === undefined;
        if (isOwn || !isPathUnknown(error)) return face.classify(error);
        noteMissing(placeOf(asked));
        const failure: UpstreamFailure = { class: "capability", tryNext: true, trySame: false };
        return asked === undefined ? { ...failure, retryTranslated: true } : failure;
      },
    },
    openHeaders: face.openHeaders ?? [],
  };
}

function toUpstream(face: SameWireFace, call: AdapterCall): UpstreamRequest {
  const { body, dropped } = face.edit(call, paramsOf(face.wire, call));
  const action = call.action === undefined ? "" : `/${call.action}`;
  const config = { ...call.config, headers: face.headers?.(call) ?? call.config.headers };
  return {
    url: face.url(call.config) + action,
    headers: { ...call.openHeaders, ...upstreamHeaders(config, call.stream) },
    body,
    droppedParams: [...new Set(dropped)],
  };
}

/** What only a whole request has: who answers, to what, in which shape. */
const NOT_PARAMS: ReadonlySet<string> = new Set([
  ...["model", "messages", "input", "system", "instructions", "stream", "store", "include", "tools", "tool_choice"],
  ...["max_tokens", "max_output_tokens"],
]);

/** The policy's `params`, which are written as chat spells them, in the words of `wire`. */
function paramsOf(wire: UpstreamWire, { params, model, config, reasons }: AdapterCall): Json {
  if (Object.keys(params).length === 0) return {};
  const target: RequestTarget = { provider: "", model, maxOutputTokens: undefined, settings: config.settings, params };
  const asked = { turns: [], tools: [], controls: readControls(params), stream: false, others: [], spelling: {} };
  const written = tryParseJson(wire.writeRequest(asked, { ...target, reasons }).body);
  const members = Object.entries(isJsonObject(written) ? written : {});
  return Object.fromEntries(members.filter(([name]) => !NOT_PARAMS.has(name)));
}
