/** What a reader sees where there is nothing to show, or something failed. */
import { type Child, useEffect, useState } from "hono/jsx/dom";
import type { ApiError } from "../api.ts";
import type { Loaded } from "../load.ts";
import { clock } from "./figures.ts";

/** What to do about it, where the answer itself does not say. */
function remedyOf({ code, status, detail, message }: ApiError): string {
  if (code === "admin_disabled") return "Set FLOW_ADMIN_TOKEN (32 characters or more) and deploy.";
  if (code === "role_required") return `Ask an operator with the role ${String(detail["role"] ?? "admin")}.`;
  if (code === "invalid_api_key") return "Use the value of FLOW_ADMIN_TOKEN, or your own token of FLOW_ADMIN_TOKENS.";
  if (status === 429) return "Wait a minute, then try again.";
  if (status >= 500 && !message.includes("try again")) {
    return "What is shown may be old. Try again; if it lasts, npx flow-layer status names the part that fails.";
  }
  return "";
}

/** What was refused and what to do about it; nothing where nothing failed. */
export function Failure({ error, retry }: { error: ApiError | null; retry?: () => void }) {
  if (error === null) return null;
  const remedy = remedyOf(error);
  return (
    <div class="failure" role="alert">
      <p>
        <strong>
          {error.code === "" ? (error.status === 0 ? "No answer" : `Failed with ${error.status}`) : error.code}
        </strong>{" "}
        {error.message} {remedy}
      </p>
      {error.param === null ? null : (
        <p>
          At <code>{error.param}</code>
        </p>
      )}
      {retry === undefined ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ children }: { children: Child }) {
  return <p class="empty">{children}</p>;
}

/** The state of what was read: loading at first, an error next to what is still shown, and how old it is. */
export function State({ of, asOf }: { of: Loaded<unknown>; asOf?: string | null | undefined }) {
  if (of.error !== null) return <Failure error={of.error} retry={of.reload} />;
  const time = asOf ?? (of.at === null || of.data === null ? null : new Date(of.at).toISOString());
  return (
    <p class="as-of" role="status" aria-live="off">
      {time === null ? "Loading…" : `As of ${clock(time)} UTC`}
      {of.isLoading ? <Slow hasData={time !== null} /> : null}
    </p>
  );
}

const SLOW_MS = 3_000;

/** Says so when an answer takes long: a reader should not wonder whether the page or the deployment is stuck. */
function Slow({ hasData }: { hasData: boolean }) {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, []);
  if (!isSlow) return null;
  return (
    <span class="slow">
      {" "}
      The deployment has not answered for {SLOW_MS / 1000} s{hasData ? "; what is shown stays" : ""}. Still waiting…
    </span>
  );
}
