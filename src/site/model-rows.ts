/** Every model of the catalogue as a row of the directory. */
import { catalog } from "../catalog/models.ts";

const PICO_PER_MICRO = 1_000_000;

export interface ModelRow {
  readonly provider: string;
  readonly id: string;
  /** `/models/<provider>/<slug>`. */
  readonly path: string;
  /** USD per million tokens; `null`: unknown. */
  readonly input: number | null;
  readonly output: number | null;
  readonly cached: number | null;
  readonly window: number | null;
  readonly maxOutput: number | null;
  /** What it reads and what it writes: `text, image → text`. */
  readonly modalities: string;
  readonly abilities: readonly string[];
  /** It refuses members such as `temperature`, always or while it thinks. */
  readonly fixedSampling: boolean;
  readonly status: string;
  readonly released: string;
  readonly knowledge: string;
  readonly shutdown: string;
  readonly efforts: readonly string[];
  readonly aliases: readonly string[];
  readonly tiers: readonly { readonly above: number; readonly input: number | null; readonly output: number | null }[];
  readonly source: string;
  readonly trust: string;
}

const ABILITIES: Readonly<Record<string, string>> = {
  t: "tools",
  s: "JSON schema",
  r: "reasoning",
  w: "open weights",
};

/** The catalogue's letter for a model with fixed sampling. */
const FIXED_SAMPLING = "k";

const TAKES: Readonly<Record<string, string>> = { v: "image", V: "video", a: "audio", d: "files" };

function modalitiesOf(can: string, isEmbedding: boolean): string {
  const takes = ["text", ...[...can].flatMap((letter) => TAKES[letter] ?? [])];
  const gives = isEmbedding ? "vector" : can.includes("A") ? "text, audio" : "text";
  return `${takes.join(", ")} → ${gives}`;
}

const TRUST: Readonly<Record<string, string>> = {
  V: "checked against the provider's page",
  C: "lists disagree; one was chosen",
  R: "second-hand reports only",
  I: "inferred",
};

/** The id in an address: every character outside `A-Za-z0-9._/-` as `~`. */
function slugOf(id: string): string {
  return id.replace(/[^A-Za-z0-9._/-]/g, "~");
}

const usd = (pico: number | undefined): number | null => (pico === undefined ? null : pico / PICO_PER_MICRO);

export function modelRows(): readonly ModelRow[] {
  const { models, meta } = catalog();
  return Object.entries(models).flatMap(([provider, entries]) =>
    Object.entries(entries).map(([id, entry]): ModelRow => {
      const { price, tiers = [] } = entry;
      return {
        provider,
        id,
        path: `/models/${provider}/${slugOf(id)}`,
        input: usd(price.input),
        output: usd(price.output),
        cached: usd(price.cache_read),
        window: entry.context ?? null,
        maxOutput: entry.max_output ?? null,
        modalities: modalitiesOf(entry.can ?? "", entry.embedding !== undefined),
        fixedSampling: (entry.can ?? "").includes(FIXED_SAMPLING),
        abilities: [
          ...(entry.embedding === undefined ? [] : ["embeddings"]),
          ...[...(entry.can ?? "")].flatMap((letter) => ABILITIES[letter] ?? []),
        ],
        status: entry.status ?? "offered",
        released: entry.released ?? "",
        knowledge: entry.knowledge ?? "",
        shutdown: entry.shutdown ?? "",
        efforts: entry.efforts ?? [],
        aliases: entry.aliases ?? [],
        tiers: tiers.map((tier) => ({ above: tier.above, input: usd(tier.input), output: usd(tier.output) })),
        source: entry.source === undefined ? meta.sources : (meta.notes[entry.source] ?? ""),
        trust: TRUST[entry.trust] ?? `${entry.trust} independent lists agree`,
      };
    }),
  );
}

/** RFC 4180. */
export function modelsCsv(rows: readonly ModelRow[]): string {
  const quote = (value: unknown): string => {
    const text = value === null ? "" : String(value);
    // A cell that a spreadsheet would run as a formula begins with an apostrophe.
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const header =
    "provider,model,input_usd_per_million,output_usd_per_million,cached_usd_per_million,window_tokens,max_output_tokens,modalities,abilities,status,released";
  const lines = rows.map((row) =>
    [
      row.provider,
      row.id,
      row.input,
      row.output,
      row.cached,
      row.window,
      row.maxOutput,
      row.modalities,
      row.abilities.join(", "),
      row.status,
      row.released,
    ]
      .map(quote)
      .join(","),
  );
  return `${[header, ...lines].join("\r\n")}\r\n`;
}

/** The same model elsewhere goes by the last part of its id. */
export const baseName = (id: string): string => (id.split("/").at(-1) ?? id).toLowerCase();

/** What models of one family have in common: the id without versions and dates. */
const familyOf = (id: string): string =>
  id.replace(/[-.@]?\d[\d.]*o?/g, "").replace(/-(?:preview|latest|exp|beta)/g, "");

/** The newest model of the same family at the same provider, where there is a newer one that is offered. */
export function newerThan(row: ModelRow, rows: readonly ModelRow[]): ModelRow | null {
  if (row.released === "") return null;
  const family = rows.filter(
    (other) =>
      other.provider === row.provider &&
      other.status === "offered" &&
      other.released > row.released &&
      familyOf(other.id) === familyOf(row.id),
  );
  return family.toSorted((a, b) => (a.released < b.released ? 1 : -1))[0] ?? null;
}
