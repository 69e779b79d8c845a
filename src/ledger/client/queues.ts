/** What the requests of an isolate have left, per key, for one of them to send with the others'. Plain data only. */

export class Queues<Entry> {
  readonly #waiting = new Map<string, Entry[]>();

  add(keyId: string, entry: Entry): void {
    const queue = this.#waiting.get(keyId);
    if (queue === undefined) this.#waiting.set(keyId, [entry]);
    else queue.push(entry);
  }

  has(keyId: string): boolean {
    return this.#waiting.has(keyId);
  }

  /** Takes out the oldest of a key, `limit` at most: they are the caller's to send. */
  take(keyId: string, limit: number): readonly Entry[] {
    const queue = this.#waiting.get(keyId) ?? [];
    if (queue.length > limit) return queue.splice(0, limit);
    this.#waiting.delete(keyId);
    return queue;
  }
}
