/** Search over all pages of the documentation, in the browser. */

interface Section {
  readonly path: string;
  readonly page: string;
  readonly anchor: string;
  readonly title: string;
  readonly text: string;
}

const MAX_RESULTS = 12;
const input = document.querySelector<HTMLInputElement>("#search");
const results = document.querySelector<HTMLElement>("#results");
let sections: Promise<readonly Section[]> | null = null;

const load = (): Promise<readonly Section[]> => {
  sections ??= fetch("/docs/search.json").then((response) => response.json() as Promise<readonly Section[]>);
  return sections;
};

/** A title counts more than text, a whole title most. */
function score({ title, text, page }: Section, words: readonly string[]): number {
  let sum = 0;
  for (const word of words) {
    const inTitle = title.toLowerCase().includes(word);
    const inText = text.toLowerCase().includes(word) || page.toLowerCase().includes(word);
    if (!inTitle && !inText) return 0;
    sum += (inTitle ? 10 : 0) + (inText ? 1 : 0) + (title.toLowerCase() === word ? 20 : 0);
  }
  return sum;
}

async function search(query: string): Promise<void> {
  if (results === null) return;
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  if (words.length === 0) {
    results.replaceChildren();
    return;
  }
  const found = (await load())
    .map((section) => ({ section, score: score(section, words) }))
    .filter((each) => each.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_RESULTS);
  const list = document.createElement("ul");
  for (const { section } of found) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${section.path}#${section.anchor}`;
    link.textContent = `${section.page}: ${section.title}`;
    item.append(link);
    list.append(item);
  }
  results.replaceChildren(found.length === 0 ? "Nothing found. Try a header, a code or a policy member." : list);
}

input?.addEventListener("input", () => void search(input.value));
input?.form?.addEventListener("submit", (event) => {
  event.preventDefault();
  results?.querySelector("a")?.click();
});
const asked = new URLSearchParams(location.search).get("q");
if (asked !== null && input !== null) {
  input.value = asked;
  void search(asked);
}
