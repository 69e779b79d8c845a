/**
 * Which host a command speaks to, and with which token. Address and token always come from one place, so that the token
 * of one host never travels to another.
 *
 * In this order: `--profile`; `--url` or FLOW_LAYER_URL with the token that belongs to it; the local instance that a
 * folder above has in `.flowlayer/dev.json`; the profile that `login` made the default.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { CommandError, type Terminal } from "./terminal.ts";
import { safe } from "./text.ts";

export interface Host {
  readonly base: URL;
  /** Empty where there is none. */
  readonly token: string;
  /** API key for requests of this host; empty where there is none. */
  readonly apiKey: string;
  /** Where address and token came from, for messages. */
  readonly source: string;
}

export interface HostOptions {
  readonly url: string | undefined;
  readonly profile: string | undefined;
  /** Which environment's key of a local instance. */
  readonly env?: string | undefined;
}

interface Profile {
  readonly url: string;
  readonly token: string;
  readonly apiKey?: string;
}

interface Profiles {
  readonly active: string | null;
  readonly profiles: Readonly<Record<string, Profile>>;
}

const LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"];
const HEADER_TEXT = /^[\x21-\x7e]+$/;
const PROFILE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const MAX_FOLDERS = 32;

/** Throws where no host is known, or where it would not be safe to use. */
export function findHost(terminal: Terminal, { url, profile, env }: HostOptions): Host {
  const { FLOW_LAYER_URL: variable = "", FLOW_LAYER_PROFILE: named = "" } = terminal.variables;
  const key = terminal.variables["FLOW_LAYER_API_KEY"]?.trim() ?? "";
  const token = terminal.variables["FLOW_ADMIN_TOKEN"]?.trim() ?? "";
  const wanted = profile ?? (url === undefined && variable === "" && named !== "" ? named : undefined);
  // Where FLOW_LAYER_URL is set, the key of the environment belongs to that address.
  const unclaimed = variable === "" ? key : "";
  if (wanted !== undefined) return ofProfile(wanted, profileOf(terminal, wanted), unclaimed);
  const local = localInstance(terminal.directory, env);
  const address = url ?? variable;
  if (address !== "") return ofAddress(terminal, address, token, key, local);
  if (local !== null) return { ...local, apiKey: local.apiKey === "" ? key : local.apiKey };
  const { active } = readProfiles(terminal);
  if (active !== null) return ofProfile(active, profileOf(terminal, active), key);
  throw new CommandError(
    "No host is known here. Start one with `npm start` in its checkout, run `flow-layer login`, or set FLOW_LAYER_URL and FLOW_ADMIN_TOKEN.",
  );
}

function ofAddress(terminal: Terminal, address: string, token: string, key: string, local: Host | null): Host {
  const base = baseOf(address);
  if (token !== "" && !HEADER_TEXT.test(token)) {
    throw new CommandError("FLOW_ADMIN_TOKEN has characters that no header can carry.");
  }
  if (token !== "") return { base, token, apiKey: key, source: "the environment" };
  const { profiles } = readProfiles(terminal);
  const named = Object.entries(profiles).find(([, each]) => originOf(each.url) === base.origin);
  const known = local?.base.origin === base.origin ? local : named === undefined ? null : ofProfile(...named);
  if (known === null) return { base, token: "", apiKey: key, source: "the environment" };
  return { ...known, base, apiKey: key === "" ? known.apiKey : key };
}

/** `key` serves where the profile keeps none. */
function ofProfile(name: string, { url, token, apiKey = "" }: Profile, key = ""): Host {
  return { base: baseOf(url), token, apiKey: apiKey === "" ? key : apiKey, source: `profile ${name}` };
}

const originOf = (text: string): string => (URL.canParse(text) ? new URL(text).origin : "");

/** The instance of `npm start` whose checkout is `directory` or above it. */
function localInstance(directory: string, env = "production"): Host | null {
  let folder = directory;
  for (let up = 0; up < MAX_FOLDERS; up++) {
    const announced = readObject(join(folder, ".flowlayer", "dev.json"));
    const { base_url: url, admin_token: token, keys } = announced;
    if (typeof url === "string" && typeof token === "string" && URL.canParse(url)) {
      const key = isJsonObject(keys) ? keys[env] : undefined;
      return { base: new URL(url), token, apiKey: typeof key === "string" ? key : "", source: ".flowlayer/dev.json" };
    }
    const parent = dirname(folder);
    if (parent === folder) break;
    folder = parent;
  }
  return null;
}

/** Throws where the address is none, would send the token in the clear, or is that of an API. */
export function baseOf(text: string): URL {
  if (!URL.canParse(text) || !/^[a-z]+:\/\//i.test(text)) {
    throw new CommandError(
      `The address must begin with https:// (or http:// for this machine), not \`${safe(text)}\`.`,
    );
  }
  const url = new URL(text);
  const isLocal = LOCAL_HOSTS.includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal)) {
    throw new CommandError(
      "The address must be https: the admin token would travel in the clear. Only localhost may be http.",
    );
  }
  if (url.username !== "" || url.password !== "")
    throw new CommandError("The address of the host must not hold a password.");
  // What SDKs want as their base URL.
  if (/\/v1\/?$/.test(url.pathname)) url.pathname = url.pathname.replace(/\/v1\/?$/, "");
  return url;
}

/** Where profiles are kept: `$XDG_CONFIG_HOME/flow-layer/profiles.json`. `null` where there is no home folder. */
function profilesFile({ variables }: Terminal): string | null {
  const home = variables["HOME"] ?? variables["USERPROFILE"] ?? "";
  const base = variables["XDG_CONFIG_HOME"] ?? (home === "" ? "" : join(home, ".config"));
  return base === "" ? null : join(base, "flow-layer", "profiles.json");
}

function readObject(path: string): Readonly<Record<string, unknown>> {
  try {
    const value = tryParseJson(readFileSync(path, "utf8"));
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

export function readProfiles(terminal: Terminal): Profiles {
  const file = profilesFile(terminal);
  const { active, profiles } = file === null ? {} : readObject(file);
  const known = Object.entries(isJsonObject(profiles) ? profiles : {}).flatMap(([name, value]) => {
    if (!isJsonObject(value) || typeof value["url"] !== "string" || typeof value["token"] !== "string") return [];
    const { url, token, api_key: apiKey } = value;
    return [[name, { url, token, ...(typeof apiKey === "string" ? { apiKey } : {}) }] as const];
  });
  return {
    active: typeof active === "string" ? active : null,
    profiles: Object.fromEntries(known),
  };
}

function profileOf(terminal: Terminal, name: string): Profile {
  const { profiles } = readProfiles(terminal);
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  const names = Object.keys(profiles);
  const known = names.length === 0 ? "There is none yet" : `There are: ${names.map(safe).join(", ")}`;
  throw new CommandError(
    `There is no profile \`${safe(name)}\`. ${known}. Make it: flow-layer login --profile ${safe(name)}`,
  );
}

/** Keeps a profile and makes it the default. Gives the file. */
export function keepProfile(terminal: Terminal, name: string, profile: Profile): string {
  if (!PROFILE_NAME.test(name)) throw new CommandError(`A profile's name must match ${PROFILE_NAME.source}.`);
  const { profiles } = readProfiles(terminal);
  return writeProfiles(terminal, { active: name, profiles: { ...profiles, [name]: profile } });
}

/** Forgets a profile; the default goes with it. */
export function forgetProfile(terminal: Terminal, name: string): void {
  profileOf(terminal, name);
  const { active, profiles } = readProfiles(terminal);
  const { [name]: _gone, ...rest } = profiles;
  writeProfiles(terminal, { active: active === name ? null : active, profiles: rest });
}

function writeProfiles(terminal: Terminal, { active, profiles }: Profiles): string {
  const file = profilesFile(terminal);
  if (file === null) throw new CommandError("There is no home folder to keep a profile in: set HOME.");
  const stored = Object.entries(profiles).map(([name, { url, token, apiKey }]) => [
    name,
    { url, token, ...(apiKey === undefined ? {} : { api_key: apiKey }) },
  ]);
  const text = JSON.stringify({ active, profiles: Object.fromEntries(stored) }, null, 2);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, `${text}\n`, { mode: 0o600 });
    chmodSync(draft, 0o600);
    renameSync(draft, file);
  } catch {
    throw new CommandError(`${file} cannot be written.`);
  }
  return file;
}
