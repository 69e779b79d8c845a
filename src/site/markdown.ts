/**
 * Markdown of the site's own content as HTML: headings with anchors, code blocks with a copy button, and neighbouring
 * code blocks with a label (```bash tab=curl) as tabs. ```js example=fetch.mjs names the file that the code is from.
 *
 * The content is ours, so nothing is sanitized here; what comes from providers or clients never passes this file.
 */
import { Marked, type Tokens } from "marked";

export interface Section {
  readonly anchor: string;
  readonly title: string;
  readonly depth: number;
  /** The text of the section for the search, tags removed. */
  readonly text: string;
}

export interface Rendered {
  readonly html: string;
  readonly sections: readonly Section[];
}

export function anchorOf(title: string): string {
  const plain = title.replace(/<[^>]*>/g, "").replace(/`/g, "");
  return plain
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "-")
    .replace(/^-|-$/g, "");
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

export function renderMarkdown(markdown: string): Rendered {
  const sections: { anchor: string; title: string; depth: number; text: string }[] = [];
  const used = new Set<string>();
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth }: Tokens.Heading): string {
        const inner = this.parser.parseInline(tokens);
        const title = inner.replace(/<[^>]*>/g, "");
        let anchor = anchorOf(title);
        for (let copy = 2; used.has(anchor); copy++) anchor = `${anchorOf(title)}-${copy}`;
        used.add(anchor);
        sections.push({ anchor, title: unescapeHtml(title), depth, text: "" });
        return `<h${depth} id="${anchor}"><a class="anchor" href="#${anchor}">${inner}</a></h${depth}>\n`;
      },
      code({ text, lang }: Tokens.Code): string {
        return codeBlock(text, lang ?? "");
      },
      table(token: Tokens.Table): string {
        const cells = (row: Tokens.TableCell[], tag: string): string =>
          row.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("");
        const body = token.rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("");
        return `<div class="table" tabindex="0" role="group" aria-label="Table"><table><thead><tr>${cells(token.header, "th")}</tr></thead><tbody>${body}</tbody></table></div>`;
      },
    },
  });
  const html = groupTabs(String(marked.parse(markdown)));
  const texts = html.split(/<h[1-6] id="/).slice(1);
  for (const [at, section] of sections.entries()) section.text = plainText(texts[at] ?? "");
  return { html, sections };
}

const MAX_SEARCH_TEXT = 600;

function plainText(html: string): string {
  const text = unescapeHtml(html.slice(html.indexOf("</h") + 5).replace(/<[^>]*>/g, " "));
  return text.replace(/\s+/g, " ").trim().slice(0, MAX_SEARCH_TEXT);
}

function unescapeHtml(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

export function codeBlock(text: string, info: string): string {
  const [language = "", ...rest] = info.split(/\s+/);
  const tab = /tab=(?:"([^"]+)"|(\S+))/.exec(rest.join(" "));
  const label = tab?.[1] ?? tab?.[2] ?? "";
  const named = label === "" ? "" : ` data-tab="${escapeHtml(label)}"`;
  const example = /example=(\S+)/.exec(info)?.[1];
  const from = example === undefined ? "" : ` data-example="${escapeHtml(example)}"`;
  return `<figure class="code"${named}${from}><button type="button" class="copy" hidden>Copy</button><pre tabindex="0"><code class="language-${escapeHtml(language)}">${escapeHtml(text)}</code></pre></figure>\n`;
}

/** Neighbouring blocks with a label become one group; without script all of them show, one below the other. */
function groupTabs(html: string): string {
  return html.replace(/(?:<figure class="code" data-tab="[\s\S]*?<\/figure>\n?)+/g, (group) => {
    return `<div class="tabs">${group}</div>\n`;
  });
}
