/**
 * Money in whole numbers: cost is nano-USD, a price is pico-USD per token.
 *
 * One micro-USD per million tokens is exactly one pico-USD per token. Nano-USD fits a double up to 9 million USD.
 */

export const NANO_PER_USD = 1_000_000_000;

/** Nano-USD as a JSON number with at most 9 decimals. */
export function toUsd(nanoUsd: number): number {
  return nanoUsd / NANO_PER_USD;
}

/** Nano-USD as a plain decimal without exponent, for headers: `0.000001234`. */
export function toUsdText(nanoUsd: number): string {
  const sign = nanoUsd < 0 ? "-" : "";
  const whole = Math.trunc(Math.abs(nanoUsd) / NANO_PER_USD);
  const fraction = String(Math.abs(nanoUsd) % NANO_PER_USD)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${sign}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

/** USD to nano-USD, rounded to the nearest. */
export function fromUsd(usd: number): number {
  return Math.round(usd * NANO_PER_USD);
}
