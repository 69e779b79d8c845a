const LOOKS_PER_LIMIT = 8;

/**
 * The idle clock of a stream. It looks a few times per limit whether anything came since it last looked: neither a timer
 * nor a reading of the time for each event, and late by at most one look.
 */
export class IdleClock {
  readonly #onIdle: () => void;
  readonly #lookEveryMs: number;
  #isWaiting = false;
  #silentLooks = 0;
  #timer: ReturnType<typeof setTimeout>;

  constructor(limitMs: number, onIdle: () => void) {
    this.#onIdle = onIdle;
    this.#lookEveryMs = limitMs / LOOKS_PER_LIMIT;
    this.#timer = setTimeout(() => this.#look(), this.#lookEveryMs);
  }

  /** A read begins: from here silence counts. */
  start(): void {
    this.#isWaiting = true;
    this.#silentLooks = 0;
  }

  /** Something came. Until the next read it is the client we wait for. */
  stop(): void {
    this.#isWaiting = false;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#silentLooks = this.#isWaiting ? this.#silentLooks + 1 : 0;
    // The first look may come right behind the start of the read, so it proves no full interval of silence.
    if (this.#silentLooks > LOOKS_PER_LIMIT) this.#onIdle();
    else this.#timer = setTimeout(() => this.#look(), this.#lookEveryMs);
  }
}
