/** Providers and targets that an operator has taken out of every plan. The value of KV `disabled`. */
import * as z from "zod/mini";

export const DISABLED_KEY = "disabled";

/** By `<provider>` or `<provider>/<model>`. */
export const DisabledIndex = z.record(
  z.string(),
  z.strictObject({
    /** Epoch ms at which it is back by itself; `null`: when an operator says so. */
    until: z.nullable(z.number()),
  }),
);
export type DisabledIndex = z.infer<typeof DisabledIndex>;

export const NOTHING_DISABLED: DisabledIndex = {};

/** Is the target out, by itself or with its provider? `now`: epoch ms. */
export function isDisabled(index: DisabledIndex, provider: string, model: string, now: number): boolean {
  return [provider, `${provider}/${model}`].some((name) => {
    const entry = Object.hasOwn(index, name) ? index[name] : undefined;
    return entry !== undefined && (entry.until === null || now < entry.until);
  });
}
