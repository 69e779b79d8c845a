/** Providers as a request sees them that came by another wire than chat. */
import { firstSerious } from "../../conversation/loss.ts";
import type { Provider } from "../../providers/adapter.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";

/** A provider that speaks chat lacks what the chat form of a request that came by another wire had to leave out. */
export function toldOf(provider: Provider | undefined, { chatLosses = [] }: ChatRequest): Provider | undefined {
  const loss = firstSerious(chatLosses);
  if (loss === undefined || provider === undefined) return provider;
  const message = loss.why ?? `\`${loss.path}\` cannot be sent to this target.`;
  const told = (chosen: Provider): Provider =>
    chosen.adapter.translation?.openReader === undefined
      ? { ...chosen, lacks: () => loss.path, refuses: () => ({ param: loss.path, message }) }
      : chosen;
  return { ...told(provider), forRequest: (request) => told(provider.forRequest?.(request) ?? provider) };
}
