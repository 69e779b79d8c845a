/** Upstream models with a known price that no other test of the process uses. */

let count = 0;

/** Has gpt-4.1-mini's price, 0.4 and 1.6 USD per million tokens: a date behind an id changes no price. */
export function pricedModel(): string {
  const index = count++;
  const two = (number: number): string => String(number).padStart(2, "0");
  const year = 31 + Math.floor(index / 336);
  return `gpt-4.1-mini-20${two(year)}-${two(1 + (Math.floor(index / 28) % 12))}-${two(1 + (index % 28))}`;
}
