/**
 * The media type of a picture, by its first bytes: providers compare it with what is declared, and refuse the rest.
 * Screenshots and caches of chat services are often declared wrongly.
 */

/** How each format begins, in base64. */
const BEGINNINGS: readonly (readonly [text: string, type: string])[] = [
  ["iVBORw0KGgo", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"],
];

/** `data`: base64. What is declared counts where the beginning says nothing. */
export function pictureType(data: string, declared: string): string {
  const known = BEGINNINGS.find(([text]) => data.startsWith(text))?.[1];
  return known ?? (declared === "image/jpg" ? "image/jpeg" : declared);
}
