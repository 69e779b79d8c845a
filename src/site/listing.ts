/** Lists of pages for machines: `/llms.txt` and `/sitemap.xml`. */

/** Stands in for the deployment's own address wherever a file cannot know it. */
export const PLACEHOLDER_HOST = "https://YOUR-HOST";

interface Listed {
  readonly path: string;
  readonly title: string;
  readonly description: string;
}

export function llmsText(docs: readonly Listed[]): string {
  const lines = docs.map(
    ({ path, title, description }) => `- [${title}](${PLACEHOLDER_HOST}${path}.md): ${description}`,
  );
  return [
    "# The Flow Layer",
    "",
    "> An OpenAI-compatible router for language models. Policy decides which provider answers, what happens when it is slow or down, what it may cost and who approves a tool call.",
    "",
    "## Documentation",
    "",
    ...lines,
    "",
    "## Machine-readable",
    "",
    `- [OpenAPI](${PLACEHOLDER_HOST}/openapi.json): every endpoint, request and response`,
    `- [Policy schema](${PLACEHOLDER_HOST}/policy.schema.json): JSON Schema of a route's policy`,
    `- [Types](${PLACEHOLDER_HOST}/flow.d.ts): TypeScript declarations for \`route\` and \`flow\``,
    `- [Models](${PLACEHOLDER_HOST}/models.json): prices, windows and abilities`,
    "",
  ].join("\n");
}

export function sitemap(paths: readonly string[]): string {
  const entries = paths.map((path) => `  <url><loc>${PLACEHOLDER_HOST}${path}</loc></url>`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n${entries.join("\n")}\n</urlset>\n`;
}
