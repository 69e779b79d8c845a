/** Figures as the directory shows them, in pages and islands alike. */

/** USD per million tokens, as short as it is exact. */
export function money(usd: number | null): string {
  if (usd === null) return "–";
  return usd === 0 ? "0" : usd.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 6 });
}

/** Tokens with separators. */
export function count(tokens: number | null): string {
  return tokens === null ? "–" : tokens.toLocaleString("en-US");
}
