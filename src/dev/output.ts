/**
 * What becomes of wrangler's output: kept back until the instance is ready, then one line per request. As JSON, standard
 * output holds the Worker's log lines and nothing else.
 */
import { eventOf, eventText, paintFor, refusedKeys, wranglerStatus } from "./request-lines.ts";
import { SEED_PROVIDERS } from "./seed-providers.ts";

/** The Worker's line about a request comes around wrangler's. */
const PAIRING_MS = 600;
const MAX_KEPT_LINES = 400;

export class Output {
  readonly #json: boolean;
  readonly #paint: ReturnType<typeof paintFor>;
  readonly #kept: string[] = [];
  readonly #warned = new Set<string>();
  /** When a line with this status was written last, epoch ms. */
  readonly #statuses = new Map<number, number>();
  #isReady = false;

  constructor(json: boolean, hasColour: boolean) {
    this.#json = json;
    this.#paint = paintFor(hasColour);
  }

  /** From here on lines are shown. */
  ready(): void {
    this.#isReady = true;
  }

  /** What was kept back, for a start that failed. */
  kept(): string {
    return this.#kept.join("\n");
  }

  line(line: string): void {
    if (!this.#isReady) {
      if (this.#kept.length < MAX_KEPT_LINES) this.#kept.push(line);
      return;
    }
    const event = eventOf(line);
    if (event !== null) {
      if (this.#json) process.stdout.write(`${line}\n`);
      else this.#show(event);
      return;
    }
    const status = wranglerStatus(line);
    if (status === null) {
      if (line.trim() !== "") process.stderr.write(`${line}\n`);
    } else if (!this.#json && status >= 400) {
      this.#showUnpaired(line, status);
    }
  }

  #show(event: Readonly<Record<string, unknown>>): void {
    this.#statuses.set(Number(event["http_status"]), Date.now());
    process.stdout.write(`${eventText(event, new Date(), this.#paint)}\n`);
    for (const provider of refusedKeys(event)) {
      if (this.#warned.has(provider)) continue;
      this.#warned.add(provider);
      const names = SEED_PROVIDERS.find((each) => each.provider === provider)?.needs.flat() ?? [];
      const check = names.length === 0 ? "its key" : [...new Set(names)].join(", ");
      process.stderr.write(
        `${this.#paint("red", `${provider} refused its credentials.`)} Check ${check}, then start again.\n`,
      );
    }
  }

  /** A refusal that the Worker wrote no line about. */
  #showUnpaired(line: string, status: number): void {
    setTimeout(() => {
      if (Date.now() - (this.#statuses.get(status) ?? 0) > 2 * PAIRING_MS) {
        process.stdout.write(
          `${this.#paint("dim", new Date().toTimeString().slice(0, 8))} ${line.slice("[wrangler:info] ".length)}\n`,
        );
      }
    }, PAIRING_MS).unref();
  }
}
