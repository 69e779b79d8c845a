/** A body as text, bounded: a declared length is not trusted, and a compressed body may unfold. */

/**
 * The text of `response`, or `null` when it is longer than `maxBytes` (the rest is cancelled). Rejects on a cut. A body
 * without a length is reported to `onText` piece by piece, so that a body that never ends is partly known.
 */
export async function readText(
  response: Response,
  maxBytes: number,
  onText: (piece: string) => void = () => {},
): Promise<string | null> {
  const declared = response.headers.get("content-length");
  // Touching `body` makes a stream object of it, which costs more than the read: this is the way of most answers.
  if (declared !== null && Number(declared) <= maxBytes && !response.headers.has("content-encoding")) {
    return response.text();
  }
  if (response.body === null) return "";
  if (declared !== null && Number(declared) > maxBytes) {
    await response.body.cancel().catch(() => {});
    return null;
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    length += value.byteLength;
    if (length > maxBytes) {
      await reader.cancel().catch(() => {});
      return null;
    }
    const piece = decoder.decode(value, { stream: true });
    onText(piece);
    text += piece;
  }
}

/**
 * The same within `maxMs`, for a body that only explains what the status has said already: `null` also when it is cut.
 * Never rejects. What is left of a late body is the caller's to end.
 */
export async function readTextWithin(
  response: Response,
  maxBytes: number,
  maxMs: number,
): Promise<{ readonly text: string | null; readonly isLate: boolean }> {
  const late = Promise.withResolvers<{ text: null; isLate: true }>();
  const timer = setTimeout(() => late.resolve({ text: null, isLate: true }), maxMs);
  const read = readText(response, maxBytes).then(
    (text) => ({ text, isLate: false }),
    () => ({ text: null, isLate: false }),
  );
  return Promise.race([read, late.promise]).finally(() => clearTimeout(timer));
}
