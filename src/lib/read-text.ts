/** A body as text, bounded: a declared length is not trusted, and a compressed body may unfold. */

/** The text of `response`, or `null` when it is longer than `maxBytes` (the rest is cancelled). Rejects on a cut. */
export async function readText(response: Response, maxBytes: number): Promise<string | null> {
  const declared = response.headers.get("content-length");
  // Touching `body` makes a stream object of it, which costs more than the read: this is the way of most answers.
  if (declared !== null && Number(declared) <= maxBytes && !response.headers.has("content-encoding")) {
    return response.text();
  }
  if (response.body === null) return "";
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
    text += decoder.decode(value, { stream: true });
  }
}
