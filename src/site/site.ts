/** What the build writes: every page and file of the site, by its path. Pure: the same sources give the same bytes. */
import { errorsMarkdown } from "./errors.ts";
import { llmsText, sitemap } from "./listing.ts";
import { renderMarkdown } from "./markdown.ts";
import { baseName, modelRows, modelsCsv, newerThan } from "./model-rows.ts";
import { consolePage } from "./pages/console.tsx";
import { Docs } from "./pages/docs.tsx";
import { Home } from "./pages/home.tsx";
import { Model } from "./pages/model.tsx";
import { Models, ProviderModels } from "./pages/models.tsx";
import { NotFound } from "./pages/not-found.tsx";
import { page } from "./parts/layout.tsx";
import { RUN_MARK } from "./parts/run-box.tsx";
import { operationsTables, policyTable } from "./reference-tables.ts";
import { headersFile } from "./security-headers.ts";

export interface Assets {
  /** Address of the style sheet, its content's hash in its name. */
  readonly style: string;
  /** Address of the style sheet for browsers without script. */
  readonly withoutScript: string;
  /** Addresses of the scripts, by the name of their island. */
  readonly scripts: Readonly<Record<string, string>>;
  /** `here` is what the other pages load while somebody is signed in. */
  readonly console: { readonly script: string; readonly style: string; readonly here: string };
}

export interface Sources {
  /** Markdown by name: `docs`, `reference`, `production`. */
  readonly content: Readonly<Record<string, string>>;
  readonly openapi: string;
  readonly policySchema: string;
  readonly flowTypes: string;
  readonly assets: Assets;
}

interface DocPage {
  readonly path: string;
  readonly title: string;
  readonly description: string;
  readonly markdown: string;
}

function docPages({ content, openapi, policySchema }: Sources): readonly DocPage[] {
  return [
    {
      path: "/docs",
      title: "Developer channel",
      description: "Send a first routed request, then let policy decide: curl, fetch, Python, SDKs and agents.",
      markdown: content["docs"] ?? "",
    },
    {
      path: "/docs/reference",
      title: "Reference",
      description: "Response headers, route members, policy, endpoints, command line and glossary.",
      markdown: (content["reference"] ?? "")
        .replace("<!-- policy -->", () => policyTable(policySchema))
        .replace("<!-- operations -->", () => operationsTables(openapi)),
    },
    {
      path: "/docs/errors",
      title: "Errors",
      description: "Every error code: what happened, and what to do.",
      markdown: errorsMarkdown(),
    },
    {
      path: "/docs/production",
      title: "Production",
      description: "The launch checklist, deploying, upgrading, rolling back, backup, cost and incidents.",
      markdown: content["production"] ?? "",
    },
  ];
}

/** What only the page needs is left out. */
function plainMarkdown(markdown: string): string {
  return markdown
    .replace(`${RUN_MARK}\n\n`, "")
    .replaceAll(/^(```.*) example=\S+$/gm, "$1")
    .trim();
}

/** Path below `.site` to its content. */
export function siteFiles(sources: Sources): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const { assets } = sources;
  const docs = docPages(sources).map((doc) => ({ ...doc, rendered: renderMarkdown(doc.markdown) }));
  const rows = modelRows();
  files.set("index.html", page(assets, { path: "/", title: "The Flow Layer", scripts: ["run"] }, Home()));
  const search = docs.flatMap(({ path, title, rendered }) =>
    rendered.sections.map((each) => ({ ...each, path, page: title })),
  );
  files.set("docs/search.json", JSON.stringify(search));
  for (const doc of docs) {
    files.set(
      `${doc.path.slice(1)}.html`,
      page(
        assets,
        {
          path: doc.path,
          title: `${doc.title} · The Flow Layer`,
          description: doc.description,
          scripts: doc.markdown.includes(RUN_MARK) ? ["docs", "run"] : ["docs"],
        },
        Docs({ doc, rendered: doc.rendered, docs }),
      ),
    );
    files.set(`${doc.path.slice(1)}.md`, `# ${doc.title}\n\n${plainMarkdown(doc.markdown)}\n`);
  }
  files.set(
    "models.html",
    page(
      assets,
      {
        path: "/models",
        title: "Model directory · The Flow Layer",
        description: "Every model in the catalogue: prices, windows, abilities, dates.",
        scripts: ["models"],
        wide: true,
      },
      Models({ rows }),
    ),
  );
  for (const [provider, served] of Map.groupBy(rows, ({ provider }) => provider)) {
    files.set(
      `models/${provider}.html`,
      page(
        assets,
        {
          path: `/models/${provider}`,
          title: `Models of ${provider} · The Flow Layer`,
          description: `Every model of ${provider} in the catalogue: prices, windows, abilities, dates.`,
          scripts: [],
          wide: true,
        },
        ProviderModels({ provider, rows: served }),
      ),
    );
  }
  files.set("models.json", JSON.stringify(rows.map(({ source: _source, trust: _trust, ...row }) => row)));
  files.set("models.csv", modelsCsv(rows));
  const namesakes = Map.groupBy(rows, ({ id }) => baseName(id));
  for (const row of rows) {
    files.set(
      `${row.path.slice(1)}.html`,
      page(
        assets,
        {
          path: row.path,
          title: `${row.id} at ${row.provider} · The Flow Layer`,
          description: `Prices, window and abilities of ${row.id} at ${row.provider}.`,
          scripts: [],
        },
        Model({ row, namesakes: namesakes.get(baseName(row.id)) ?? [], newer: newerThan(row, rows) }),
      ),
    );
  }
  files.set("console.html", consolePage(assets));
  files.set("404.html", page(assets, { path: "/404", title: "Not found · The Flow Layer", scripts: [] }, NotFound()));
  files.set("openapi.json", sources.openapi);
  files.set("policy.schema.json", sources.policySchema);
  files.set("flow.d.ts", sources.flowTypes);
  files.set("llms.txt", llmsText(docs));
  files.set("sitemap.xml", sitemap([...docs.map(({ path }) => path), "/", "/models", ...rows.map(({ path }) => path)]));
  files.set("robots.txt", "User-agent: *\nAllow: /\nDisallow: /v1/\nDisallow: /admin/\nDisallow: /console\n");
  files.set("_headers", headersFile());
  return files;
}
