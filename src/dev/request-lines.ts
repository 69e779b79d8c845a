/**
 * The Worker's log as a person reads it: one line per request. What is no log line of the Worker passes as it is, without
 * wrangler's own line for a request, which says less.
 */

type Event = Readonly<Record<string, unknown>>;

const WRANGLER_REQUEST = /^\[wrangler:info\] (?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \S+ (\d{3}) /;
const COLOURS = { red: 31, green: 32, yellow: 33, dim: 2 } as const;
type Colour = keyof typeof COLOURS;
type Paint = (colour: Colour, text: string) => string;

export const paintFor =
  (hasColour: boolean): Paint =>
  (colour, text) =>
    hasColour ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;

/** The Worker's log line, or `null` where `line` is none. */
export function eventOf(line: string): Event | null {
  if (!line.startsWith('{"event":')) return null;
  try {
    return JSON.parse(line) as Event;
  } catch {
    return null;
  }
}

/** The status in wrangler's line for a request; `null` for every other line. */
export function wranglerStatus(line: string): number | null {
  const status = WRANGLER_REQUEST.exec(line)?.[1];
  return status === undefined ? null : Number(status);
}

/** `16:09:02 200 best-reasoning → openai/gpt-5.2 1.2 s $0.0012 tr_…` */
export function eventText(event: Event, at: Date, paint: Paint): string {
  const clock = paint("dim", at.toTimeString().slice(0, 8));
  if (event["event"] === "request") return `${clock} ${requestText(event, paint)}`;
  if (event["event"] === "refused") {
    const { http_status, error_code, trace_id } = event;
    return `${clock} ${paint("yellow", String(http_status))} ${String(error_code)} ${paint("dim", String(trace_id))}`;
  }
  const members = Object.entries(event).filter(([name]) => name !== "event");
  const said = members.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `${clock} ${paint("yellow", String(event["event"]))} ${said.join(" ")}`;
}

function requestText(event: Event, paint: Paint): string {
  const status = Number(event["http_status"]);
  const isOk = event["status"] === "ok";
  const route = String(event["route"]).replace(/^flow\//, "");
  const isSandbox = event["provider"] === "sandbox";
  const target = event["provider"] === null ? "no target" : `${String(event["provider"])}/${String(event["model"])}`;
  const failed = failedAttempts(event);
  const parts = [
    paint(isOk ? "green" : "red", String(status)),
    `${route} → ${isSandbox && failed.length > 0 ? paint("yellow", target) : target}`,
    ...(event["stream"] === true ? ["stream"] : []),
    duration(event["total_ms"]),
    ...(typeof event["cost_usd"] === "number" && event["cost_usd"] > 0 ? [`$${cost(event["cost_usd"])}`] : []),
    ...(isOk ? [] : [paint("red", String(event["error_code"] ?? event["status"]))]),
    ...(failed.length === 0 ? [] : [paint("yellow", `after ${failed.join(", ")}`)]),
    paint("dim", String(event["trace_id"])),
  ];
  return parts.join(" ");
}

/** `openai/gpt-5.2 auth 401`, from `openai/gpt-5.2;auth;401;12ms`. */
function failedAttempts(event: Event): string[] {
  if (event["fallback"] !== true && event["status"] === "ok") return [];
  const text = typeof event["attempt_log"] === "string" ? event["attempt_log"] : "";
  const failed = text
    .split(", ")
    .map((entry) => entry.split(";"))
    .filter(([, outcome]) => outcome !== undefined && outcome !== "ok")
    .map(([target, outcome, status]) => [target, outcome, ...(status === "-" ? [] : [status])].join(" "));
  const reason = event["fallback_reason"];
  return failed.length === 0 && typeof reason === "string" ? [reason] : [...new Set(failed)];
}

function duration(value: unknown): string {
  const ms = typeof value === "number" ? value : 0;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

const cost = (usd: number): string => (usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(4));

/** Providers that refused their key in this request, by id. */
export function refusedKeys(event: Event): string[] {
  const text = event["event"] === "request" && typeof event["attempt_log"] === "string" ? event["attempt_log"] : "";
  const entries = text.split(", ").map((entry) => entry.split(";"));
  return [
    ...new Set(entries.filter(([, outcome]) => outcome === "auth").map(([target = ""]) => target.split("/")[0] ?? "")),
  ];
}
