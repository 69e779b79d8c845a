/** The frame of every page. */
import type { Child } from "hono/jsx";
import type { Assets } from "../site.ts";

export interface PageHead {
  readonly path: string;
  readonly title: string;
  readonly description?: string;
  /** Islands that the page needs, by name. */
  readonly scripts: readonly string[];
  /** A table that wants the whole width. */
  readonly wide?: boolean;
}

const LINKS = [
  ["/docs", "Docs"],
  ["/models", "Models"],
  ["/docs/reference", "Reference"],
  ["/console", "Console"],
] as const;

const DESCRIPTION =
  "One base URL for every model: policy decides which provider answers, what it may cost, and who approves a tool call.";

/** The page as HTML text. */
export function page(assets: Assets, head: PageHead, body: Child): string {
  const document = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{head.title}</title>
        <meta name="description" content={head.description ?? DESCRIPTION} />
        <link
          rel="icon"
          href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 4h8M2 8h12M2 12h6' stroke='%23356' stroke-width='2'/%3E%3C/svg%3E"
        />
        <link rel="stylesheet" href={assets.style} />
        {head.scripts.includes("models") ? (
          <noscript>
            <link rel="stylesheet" href={assets.withoutScript} />
          </noscript>
        ) : null}
        {["page", ...head.scripts].map((name) => (
          <script type="module" src={assets.scripts[name]} />
        ))}
      </head>
      <body class={head.wide === true ? "wide" : ""} data-here={assets.console.here}>
        <a class="skip" href="#main">
          Skip to content
        </a>
        <header class="top">
          <nav aria-label="Site">
            <a class="brand" href="/">
              <svg class="mark" viewBox="0 0 16 16" aria-hidden="true">
                <path d="M2 4h8M2 8h12M2 12h6" />
              </svg>
              The Flow Layer
            </a>
            {LINKS.map(([path, name]) => (
              <a href={path} aria-current={head.path === path ? "page" : undefined}>
                {name}
              </a>
            ))}
          </nav>
        </header>
        <main id="main">{body}</main>
        <footer class="bottom">
          <p>
            <a href="/docs">Developer channel</a> · <a href="/docs/errors">Errors</a> ·{" "}
            <a href="/docs/production">Production</a> · <a href="/openapi.json">OpenAPI</a> ·{" "}
            <a href="/llms.txt">llms.txt</a>
          </p>
        </footer>
      </body>
    </html>
  );
  return `<!doctype html>${String(document)}\n`;
}
