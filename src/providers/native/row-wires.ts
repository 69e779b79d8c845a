/** A provider of `rows.ts` by the wires that it documents besides chat completions. */
import type { WireId } from "../../conversation/part.ts";
import type { Provider, ProviderConfig } from "../adapter.ts";
import { classifyRow } from "../openai/chat-translation.ts";
import type { ProviderRow, SpokenMessages } from "../provider-row.ts";
import { messagesFace } from "./messages.ts";
import { classifyMessages } from "./messages-errors.ts";
import { responsesFace } from "./responses.ts";
import { inSameWire, type SameWireFace } from "./same-wire.ts";

/** `undefined`: it speaks chat completions only. */
export function rowInWire(row: ProviderRow, provider: Provider): Provider["inWire"] {
  const faces = new Map<WireId, SameWireFace>(facesOf(row).map((face) => [face.wire.id, face]));
  if (faces.size === 0) return undefined;
  return (wire, config) => {
    const face = faces.get(wire);
    return face === undefined ? undefined : inSameWire(provider, face, config);
  };
}

function facesOf(row: ProviderRow): SameWireFace[] {
  const { messages, responses } = row.wires ?? {};
  const faces: SameWireFace[] = [];
  if (responses !== undefined) {
    const { path = "/responses", thoughts, clean, actions } = responses;
    faces.push(
      responsesFace({
        provider: row.id,
        url: row.quirks?.responsesUrl ?? (({ baseUrl }) => baseUrl + path),
        classify: (error) => classifyRow(row, error),
        thoughts,
        isClean: clean === true,
        actions,
      }),
    );
  }
  if (messages !== undefined) {
    faces.push(
      messagesFace({
        url: (config) => `${besides(row, messages, config)}/messages`,
        classify: (error) => classifyMessages(error, row.codes),
        hasPlainSignatures: messages.signsAsAnthropic !== true,
        isClean: messages.clean === true,
        actions: messages.actions,
        byApiKey: messages.byApiKey,
      }),
    );
  }
  return faces;
}

/**
 * The address of another API of the same host: what precedes the base URL's own path is kept, so that an operator's
 * override (a proxy) holds for both.
 */
function besides({ baseUrl = "" }: ProviderRow, { path }: SpokenMessages, config: ProviderConfig): string {
  const own = URL.parse(baseUrl)?.pathname.replace(/\/$/, "") ?? "";
  const { origin, pathname } = new URL(config.baseUrl);
  const given = pathname.replace(/\/$/, "");
  const prefix = own !== "" && given.endsWith(own) ? given.slice(0, -own.length) : given.replace(/\/v\d+$/, "");
  return origin + prefix + path;
}
