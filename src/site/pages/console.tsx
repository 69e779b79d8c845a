/** The console's shell: everything in it is made by its script, after somebody has signed in. */
import type { Assets } from "../site.ts";

export function consolePage({ console }: Assets): string {
  const document = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        <title>Console · The Flow Layer</title>
        <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'/%3E" />
        <link rel="stylesheet" href={console.style} />
        <script type="module" src={console.script} />
      </head>
      <body class="console">
        <a class="skip" href="#main">
          Skip to content
        </a>
        <div id="console">
          <noscript>
            <main>
              <h1>Console</h1>
              <p>
                The console needs JavaScript. Everything it shows is also answered by the admin API: see{" "}
                <a href="/docs/reference">the reference</a>.
              </p>
            </main>
          </noscript>
        </div>
      </body>
    </html>
  );
  return `<!doctype html>${String(document)}\n`;
}
