/**
 * Removes what looks like a credential from text of others, before a client may read it.
 *
 * A net, not a proof: it prefers to cut too much. Linear in its input, which is cut to a fixed length first.
 */

export const REMOVED = "[removed]";
/** Read at most this much: enough to see a secret whole that begins inside the part that is kept. */
const MAX_READ = 4_000;

const SECRETS: readonly RegExp[] = [
  /\bBearer\s+[^\s"',;]+/gi,
  // `scheme://user:password@host`
  /:\/\/[^\s/@]{1,256}@/g,
  /\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g,
  // The prefixes providers put before their keys, and masked spellings of them such as `sk-abc***xyz`.
  /\b(?:sk|pk|rk|gsk|csk|xai|nvapi|hf|r8|fw|fl|pplx|tgp|key|org|proj)[-_][\w*.-]{6,}/gi,
  /\bAIza[\w*-]{8,}/g,
  /\b(?:AKIA|ASIA|ABSK)[\w*+/=-]{8,}/g,
];
/** Keys without a known prefix: long runs of base64 or hex. Words joined by slashes or dashes have no digits. */
const LONG_RUN = /[\w+/=-]{32,}/g;

/** What no reader sees: inside of it a secret would look like two words, and would work for who copies it. */
const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu;
const BREAKS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu;

/** One line of printable text, secrets replaced, at most `maxLength` characters. */
export function redactCredentials(text: string, maxLength: number): string {
  const read = text.slice(0, MAX_READ);
  const seen = read.replace(INVISIBLE, "").replace(BREAKS, " ");
  const clean = withoutSecrets(seen);
  // Where there was none, what changes the direction of writing separates words.
  const shown = clean === seen ? read.replace(BREAKS, " ").replace(INVISIBLE, "") : clean;
  return withoutSecrets(shown).trim().slice(0, maxLength).toWellFormed();
}

function withoutSecrets(text: string): string {
  let clean = text;
  for (const pattern of SECRETS) clean = clean.replace(pattern, REMOVED);
  return clean.replace(LONG_RUN, (run) => (/\d/.test(run) ? REMOVED : run));
}
