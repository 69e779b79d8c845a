/**
 * The ids under which calls and their results are sent.
 *
 * Converse has a rule for them that other providers' ids break, and refuses one that comes twice in a conversation,
 * which some clients send in every turn. Linear in the number of calls, whatever they are called.
 */

const VALID_ID = /^[a-zA-Z0-9_-]{1,64}$/;

/** Ids sent for one of the client's, in order, and how many of them have their result. */
interface Sent {
  readonly ids: string[];
  answered: number;
}

export class CallIds {
  readonly #sent = new Map<string, Sent>();
  readonly #used = new Set<string>();
  #next = 1;

  /** The id for a call. */
  begin(id: string): string {
    let alias = id;
    // The counter never goes back: over a whole conversation it passes each id that is taken once.
    while (!VALID_ID.test(alias) || this.#used.has(alias)) alias = `call_${this.#next++}`;
    this.#used.add(alias);
    const sent = this.#sent.get(id);
    if (sent === undefined) this.#sent.set(id, { ids: [alias], answered: 0 });
    else sent.ids.push(alias);
    return alias;
  }

  /** The id for a result. One that no call waits for keeps its id, as far as that is allowed. */
  answer(id: string): string {
    const sent = this.#sent.get(id);
    const waiting = sent?.ids[sent.answered];
    if (sent !== undefined && waiting !== undefined) {
      sent.answered++;
      return waiting;
    }
    if (VALID_ID.test(id)) return id;
    const alias = this.begin(id);
    const own = this.#sent.get(id);
    if (own !== undefined) own.answered = own.ids.length;
    return alias;
  }
}
