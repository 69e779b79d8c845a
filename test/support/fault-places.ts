/**
 * Every kind of address a provider can have: a server that plays scripts, and ports that fail before there is HTTP. For
 * the one place whose certificate is good, a test imports `trust.ts` before all else.
 */
import { selfSigned } from "./certificates.ts";
import {
  type FaultServer,
  type FaultServerSpec,
  REFUSED_URL,
  response,
  startBlackhole,
  startFaultServer,
} from "./fault-server.ts";
import { authority, forgetFile } from "./trust.ts";

/** Where a target lives, and the provider that is found there. */
export const PLACES = {
  scripted: "openai",
  /** The same server, for a provider with a protocol of its own. */
  translated: "anthropic",
  "nobody listens": "together",
  "drops SYN": "fireworks",
  "no such name": "cerebras",
  "certificate of an authority that is trusted": "perplexity",
  "certificate ran out": "nvidia",
  "certificate of the future": "moonshot",
  "certificate of another host": "zai",
  "certificate signed by itself": "zhipu",
  "TLS handshake stalls": "minimax",
  "plain HTTP on the port for TLS": "alibaba",
  "closes at once": "deepinfra",
  "resets at once": "sambanova",
  /** Scripted, and nobody else uses its connections. */
  "one connection": "nebius",
} as const;
export type Place = keyof typeof PLACES;

export interface Places {
  /** Base URL of each place, version path included. */
  readonly baseUrls: Readonly<Record<Place, string>>;
  /** Where there is one. */
  server(place: Place): FaultServer | undefined;
  stop(): Promise<void>;
}

const host = "127.0.0.1";
const PLAIN_ANSWER = response("400 Bad Request", { connection: "close" }, "This is plain HTTP.");
const OVER_TLS: readonly Place[] = ["TLS handshake stalls", "plain HTTP on the port for TLS"];

/** The servers behind the places. */
const specs = (): Partial<Record<Place, FaultServerSpec>> => ({
  scripted: {},
  "certificate of an authority that is trusted": { tls: authority.issue({ host }) },
  "certificate ran out": { tls: authority.issue({ host, fromDays: -3, untilDays: -1 }) },
  "certificate of the future": { tls: authority.issue({ host, fromDays: 1, untilDays: 3 }) },
  "certificate of another host": { tls: authority.issue({ host: "10.0.0.1" }) },
  "certificate signed by itself": { tls: selfSigned({ host }) },
  "TLS handshake stalls": { atConnect: [] },
  "plain HTTP on the port for TLS": { atConnect: [PLAIN_ANSWER, "fin"] },
  "closes at once": { atConnect: ["fin"] },
  "resets at once": { atConnect: ["reset"] },
  "one connection": {},
});

export async function startPlaces(): Promise<Places> {
  forgetFile();
  const servers = new Map<Place, FaultServer>();
  for (const [place, spec] of Object.entries(specs())) servers.set(place as Place, await startFaultServer(spec));
  const scripted = servers.get("scripted");
  if (scripted !== undefined) servers.set("translated", scripted);
  const blackhole = await startBlackhole();
  const elsewhere: Partial<Record<Place, string>> = {
    "nobody listens": REFUSED_URL,
    "drops SYN": blackhole.url,
    // RFC 6761: a name that never resolves.
    "no such name": "http://provider.invalid",
  };
  const urlOf = (place: Place): string => {
    const url = elsewhere[place] ?? servers.get(place)?.url ?? "";
    return `${OVER_TLS.includes(place) ? url.replace("http:", "https:") : url}/v1`;
  };
  const places = Object.keys(PLACES) as Place[];
  return {
    baseUrls: Object.fromEntries(places.map((place) => [place, urlOf(place)])) as Record<Place, string>,
    server: (place) => servers.get(place),
    async stop() {
      await blackhole.stop();
      await Promise.all([...new Set(servers.values())].map((server) => server.stop()));
    },
  };
}
