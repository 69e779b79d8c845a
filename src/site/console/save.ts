/** Lists come by script, with the session, and are saved as a blob: a link alone would not carry the console's header. */
import { ApiError, call, type List, send, withQuery } from "./api.ts";

const MOST_PAGES = 100;
const NEXT = "x-flowlayer-next-cursor";

type Query = Readonly<Record<string, string | number | undefined>>;

function save(text: string, type: string, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const cut = (): ApiError =>
  new ApiError(0, { message: `The file holds the first ${MOST_PAGES} pages. Narrow the filters to save the rest.` });

/** Fetches `path`, and the pages behind it, and hands the browser one file called `name`. Rejects as `send` does. */
export async function saveCsv(path: string, name: string, query: Query = {}): Promise<void> {
  const texts: string[] = [];
  let cursor: string | undefined;
  do {
    const answer = await send(withQuery(path, { ...query, cursor }), { headers: { accept: "text/csv" } });
    const text = await answer.text();
    // The first page has the row of headings for all of them.
    texts.push(texts.length === 0 ? text : text.slice(text.indexOf("\n") + 1));
    cursor = answer.headers.get(NEXT) ?? undefined;
  } while (cursor !== undefined && texts.length < MOST_PAGES);
  save(texts.join(""), "text/csv", name);
  if (cursor !== undefined) throw cut();
}

/** The same list as JSON, one row a line. */
export async function saveLines(path: string, name: string, query: Query): Promise<void> {
  const lines: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await call<List<unknown>>(withQuery(path, { ...query, cursor }));
    for (const row of page.data) lines.push(`${JSON.stringify(row)}\n`);
    cursor = page.next_cursor ?? undefined;
    pages++;
  } while (cursor !== undefined && pages < MOST_PAGES);
  save(lines.join(""), "application/jsonl", name);
  if (cursor !== undefined) throw cut();
}
