/** A state in a word, with the colour that this word always has. */

const COLOURS: Readonly<Record<string, string>> = {
  ...{ ok: "ok", active: "ok", closed: "ok", approved: "ok", passed: "ok", delivered: "ok", configured: "ok" },
  ...{ error: "failed", denied: "failed", revoked: "failed", open: "failed", failed: "failed", expired: "failed" },
  ...{ cancelled: "slow", refused: "slow", half_open: "slow", paused: "slow", disabled: "slow", behind: "slow" },
  ...{ pending: "held", held: "held", operator: "held", first: "ok", next: "ok", out: "failed" },
  ...{ rate_limited: "failed", server_error: "failed", timeout: "failed", network: "failed", auth: "failed" },
  ...{ invalid_response: "failed", content_filter: "failed", context_length: "failed", invalid_request: "failed" },
};

export function Badge({ word }: { word: string }) {
  return <span class={`badge ${COLOURS[word] ?? ""}`}>{word.replaceAll("_", " ")}</span>;
}

export function Bar({ part, whole, name }: { part: number; whole: number; name: string }) {
  const filled = whole <= 0 ? 0 : Math.min(100, (100 * part) / whole);
  const tone = filled >= 100 ? "failed" : filled >= 80 ? "slow" : "ok";
  return (
    <svg
      class="bar"
      viewBox="0 0 100 6"
      preserveAspectRatio="none"
      role="img"
      aria-label={`${name}: ${filled.toFixed(0)} %`}
    >
      <rect class="track" width="100" height="6" />
      <rect class={tone} width={filled} height="6" />
    </svg>
  );
}
