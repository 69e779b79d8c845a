/**
 * Which addresses a credential may be sent to.
 *
 * Pure. A Worker cannot pin a name to an address, so the host's spelling is the only control: public names pass, every
 * literal address and every name that means "near me" does not. The answer is rebuilt from the parsed URL, so what was
 * checked is what is fetched, whatever spelling (`0x7f000001`, full-width digits) the text used.
 */

/** `any` also admits http, literal addresses and private names: for local work. */
export type Reach = "public" | "any";

/**
 * Names that never belong to the public DNS (IANA special-use domain names; `arpa` covers `home.arpa`), and those that
 * private networks use in its place.
 */
const SPECIAL_USE: ReadonlySet<string> = new Set([
  "local",
  "internal",
  "localhost",
  "test",
  "invalid",
  "onion",
  "example",
  "alt",
  "arpa",
  ...["lan", "corp", "home", "svc", "intranet", "intra", "private", "localdomain", "domain", "workgroup", "cluster"],
  ...["consul", "mesh", "docker", "router", "belkin", "dlink", "dhcp", "mail", "lokal"],
]);

/** Public names that resolve to the address in them (`10.0.0.7.nip.io`), to this machine or to whatever is near. */
const ECHOES: readonly string[] = [
  ...["nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "traefik.me", "vcap.me", "fuf.me", "lacolhost.com"],
  ...["localho.st", "local.gd", "backname.io", "1u.ms", "rbndr.us", "ip6.name", "mshome.net", "fritz.box"],
];

/** The checked base URL without a trailing slash, or `null` when it must not be called. */
export function upstreamUrl(text: string, reach: Reach): string | null {
  // The parser would silently remove tabs and line breaks: an address with white space is a mistake, not an address.
  if (!/^[\x21-\x7e\u0080-\uffff]+$/.test(text)) return null;
  const url = URL.parse(text);
  if (url === null || url.host === "") return null;
  if (url.username !== "" || url.password !== "" || /[?#]/.test(url.href)) return null;
  const schemeAllowed = url.protocol === "https:" || (reach === "any" && url.protocol === "http:");
  if (!schemeAllowed) return null;
  if (reach === "public" && !isPublicName(url.hostname)) return null;
  return url.origin + withoutSlashes(url.pathname);
}

function withoutSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** `hostname` as the WHATWG parser wrote it: lower case, numbers already turned into dotted addresses. */
function isPublicName(hostname: string): boolean {
  if (hostname.startsWith("[") || /^[0-9.]+$/.test(hostname)) return false;
  const labels = hostname.replace(/\.$/, "").split(".");
  if (labels.length < 2 || labels.some((label) => label === "") || SPECIAL_USE.has(labels.at(-1) ?? "")) return false;
  const name = labels.join(".");
  return !ECHOES.some((echo) => name === echo || name.endsWith(`.${echo}`));
}
