/** What a command needs of the world around it, and how it ends. */

/** Done, or nothing to do. */
export const EXIT_OK = 0;
export const EXIT_ERROR = 1;
/** There are changes to make that were not confirmed. */
export const EXIT_PENDING = 2;
/** The host refused: gates did not pass, or the policy asks for a promotion. */
export const EXIT_BLOCKED = 3;

export interface Terminal {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Paths are relative to it. */
  readonly directory: string;
  /** There is a person who can be asked. */
  readonly isInteractive: boolean;
  /** Width of the standard output; `undefined` where it is no terminal. */
  readonly columns?: number | undefined;
  readonly hasColour?: boolean;
  write(text: string): void;
  writeError(text: string): void;
  /** What the person typed; empty when there was no answer. `isSecret`: it is not shown. */
  ask(question: string, isSecret?: boolean): Promise<string>;
  /** All of the standard input. */
  readInput?(): Promise<string>;
  /** Opens an address in the browser; `false` where there is none. */
  open?(address: string): Promise<boolean>;
  readonly fetch: typeof fetch;
}

/** Ends the command: the message is shown, `exitCode` is one of the above. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
  readonly exitCode: number;
  /** The standard output has the whole story already, as JSON. */
  isReported = false;

  constructor(message: string, exitCode: number = EXIT_ERROR) {
    super(message);
    this.exitCode = exitCode;
  }
}
