/** Long answers from storage: what they take of the isolate is counted until they are sent. */
import { overloaded } from "./body.ts";
import { BodyClaim } from "./in-flight.ts";

/** Longer texts are sent piece by piece. */
const SHORT_BYTES = 262_144;
const PIECE_BYTES = 65_536;

const encoder = new TextEncoder();

/** What one answer holds. It is released by its opener, or with the end of the answer. */
export class AnswerRoom {
  readonly #claim: BodyClaim;

  constructor(now: number) {
    this.#claim = new BodyClaim(now);
  }

  /** Counts `bytes` more, or gives them back where they are negative. Throws 503 `overloaded` where there is no room. */
  readonly hold = (bytes: number): void => {
    if (!this.#claim.grow(bytes, Date.now())) throw overloaded();
  };

  release(): void {
    this.#claim.release();
  }

  /** The JSON `text` as an answer. A client that reads slowly holds it until its end. */
  respond(text: string): Response {
    const headers = { "content-type": "application/json" };
    if (text.length <= SHORT_BYTES) {
      this.release();
      return new Response(text, { headers });
    }
    const bytes = encoder.encode(text);
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (at < bytes.length) {
          controller.enqueue(bytes.subarray(at, at + PIECE_BYTES));
          at += PIECE_BYTES;
          return;
        }
        this.release();
        controller.close();
      },
      cancel: () => this.release(),
    });
    return new Response(body, { headers });
  }
}
