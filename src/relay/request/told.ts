/** Providers as a request sees them that came by another wire than chat. */
import { firstUnserved } from "../../conversation/loss.ts";
import type { Provider } from "../../providers/adapter.ts";
import type { ChatRequest } from "../../wires/openai-chat/request-fields.ts";

/** A provider that speaks chat lacks what the chat form of a request that came by another wire had to leave out. */
export function toldOf(provider: Provider | undefined, { chatLosses = [] }: ChatRequest): Provider | undefined {
  const loss = firstUnserved(chatLosses);
  if (loss === undefined || provider === undefined) return provider;
  const isSerious = loss.weight === "changes_meaning";
  const message = loss.why ?? `\`${loss.path}\` cannot be sent to this target.`;
  const told = (chosen: Provider): Provider => {
    if (chosen.adapter.translation?.openReader !== undefined) return chosen;
    return {
      ...chosen,
      lacks: (asked, model) => (isSerious ? null : chosen.lacks?.(asked, model)) ?? loss.path,
      refuses: (asked, model) => (isSerious ? { param: loss.path, message } : (chosen.refuses?.(asked, model) ?? null)),
    };
  };
  return { ...told(provider), forRequest: (request) => told(provider.forRequest?.(request) ?? provider) };
}
