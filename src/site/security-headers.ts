/**
 * Security headers of every page: one list, written to `.site/_headers` for static files and used by the Worker for the
 * pages that it answers itself, which `_headers` does not reach.
 */

/** No origin but our own, no inline script, no inline style, no frame. `blob:` lets a script save a CSV. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "strict-origin-when-cross-origin",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
};

/** The file that Workers Static Assets reads. Files under `/assets/` carry their content's hash in their name. */
export function headersFile(): string {
  const all = Object.entries(SECURITY_HEADERS).map(([name, value]) => `  ${name}: ${value}`);
  // By its ending alone, a file of types would be taken for a film.
  const types = "/flow.d.ts\n  content-type: text/plain; charset=utf-8\n";
  return `/*\n${all.join("\n")}\n\n/assets/*\n  cache-control: public, max-age=31536000, immutable\n\n${types}`;
}
