/** A page of the documentation: contents on the left, text on the right, search above. */
import { raw } from "hono/html";
import type { Rendered } from "../markdown.ts";
import { RUN_MARK, RunBox } from "../parts/run-box.tsx";

interface DocLink {
  readonly path: string;
  readonly title: string;
}

export function Docs(props: {
  readonly doc: DocLink & { readonly description: string };
  readonly rendered: Rendered;
  readonly docs: readonly DocLink[];
}) {
  const { doc, rendered, docs } = props;
  return (
    <div class="docs">
      <aside>
        <form class="search" action="/docs" aria-label="Documentation search">
          <label for="search">Search</label>
          <input id="search" name="q" type="search" autocomplete="off" placeholder="header, error, policy member" />
          <div id="results" role="status" aria-live="polite" />
        </form>
        <nav aria-label="Documentation">
          <ul>
            {docs.map(({ path, title }) => (
              <li>
                <a href={path} aria-current={path === doc.path ? "page" : undefined}>
                  {title}
                </a>
                {path === doc.path ? <Contents rendered={rendered} /> : null}
              </li>
            ))}
          </ul>
        </nav>
      </aside>
      <article>
        <h1>{doc.title}</h1>
        <p class="lead">{doc.description}</p>
        {raw(rendered.html.replace(RUN_MARK, () => String(RunBox())))}
        <p class="twin">
          This page as <a href={`${doc.path}.md`}>Markdown</a>.
        </p>
      </article>
    </div>
  );
}

function Contents({ rendered }: { readonly rendered: Rendered }) {
  return (
    <ul>
      {rendered.sections
        .filter(({ depth }) => depth === 2)
        .map(({ anchor, title }) => (
          <li>
            <a href={`#${anchor}`}>{title}</a>
          </li>
        ))}
    </ul>
  );
}
