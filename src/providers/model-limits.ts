/** What the catalogue says of a model, as far as its requests depend on it. */
import { findEntry } from "../catalog/index.ts";
import type { ModelLimits } from "./provider-row.ts";

/** The look-up for one provider; `undefined` for a model that the catalogue does not know. Opens the catalogue. */
export function limitsAt(provider: string): (model: string) => ModelLimits | undefined {
  return (model) => {
    const entry = findEntry(provider, model);
    if (entry === undefined) return undefined;
    const { efforts, can = "" } = entry;
    return { efforts, reasons: can.includes("r"), fixedSampling: can.includes("k") };
  };
}
