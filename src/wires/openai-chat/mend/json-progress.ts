/** How far a JSON value has come whose text arrives in pieces. Constant memory, each character looked at once. */
export class JsonProgress {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #state: "empty" | "open" | "complete" = "empty";

  /** Nothing but white space so far. */
  get isEmpty(): boolean {
    return this.#state === "empty";
  }

  /** The outermost object or list is closed. A text that is neither is never complete. */
  get isComplete(): boolean {
    return this.#state === "complete";
  }

  push(text: string): void {
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (code === 0x5c) this.#isEscaped = true;
        else if (code === 0x22) this.#isInString = false;
        continue;
      }
      if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) continue;
      if (this.#state === "empty") this.#state = "open";
      if (code === 0x22) this.#isInString = true;
      else if (code === 0x7b || code === 0x5b) this.#depth++;
      else if ((code === 0x7d || code === 0x5d) && --this.#depth === 0) this.#state = "complete";
    }
  }
}
