/** An attempt in one line, as the response header `x-flowlayer-attempt-log` and the log line of a request say it. */
export interface LoggedAttempt {
  readonly provider: string;
  readonly model: string;
  readonly outcome: string;
  /** HTTP status of the provider's answer; `null` where none came. */
  readonly status: number | null;
  readonly duration_ms: number;
}

/** `<provider>/<model>;<outcome>;<status>;<duration>ms`, separated by a comma and a space. */
export function attemptLog(attempts: readonly LoggedAttempt[]): string {
  return attempts
    .map(({ provider, model, outcome, status, duration_ms }) => {
      return `${provider}/${model};${outcome};${status ?? "-"};${Math.round(duration_ms)}ms`;
    })
    .join(", ");
}
