/** The lines of a text that comes in pieces: one of them is in memory at a time, as long as it may be. */

export interface TextLine {
  /** From 1, blank lines included. */
  readonly number: number;
  /** Without its end; cut behind the limit. */
  readonly line: string;
}

/** A longer line is handed on as soon as it is known to be one, and no more of it is read. */
const MAX_CHARACTERS = 4_000_000;

/** Lines of a body in UTF-8 that hold more than space, in their order. */
export async function* textLines(body: ReadableStream<Uint8Array> | null): AsyncGenerator<TextLine> {
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let characters = 0;
  let number = 1;
  const reader = body?.getReader();
  try {
    for (let isDone = reader === undefined; !isDone; ) {
      const chunk = await reader!.read();
      isDone = chunk.done;
      const text = chunk.done ? decoder.decode() : decoder.decode(chunk.value, { stream: true });
      const [first = "", ...others] = text.split("\n");
      pieces.push(first);
      characters += first.length;
      for (const next of others) {
        const line = pieces.join("");
        if (line.trim() !== "") yield { number, line };
        number += 1;
        pieces.splice(0, pieces.length, next);
        characters = next.length;
      }
      if (characters > MAX_CHARACTERS) break;
    }
    const line = pieces.join("");
    if (line.trim() !== "") yield { number, line };
  } finally {
    await reader?.cancel().catch(() => {});
  }
}
