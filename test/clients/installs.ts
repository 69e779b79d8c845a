/** What clients of other makers need: a folder with their packages, and an environment without this machine's settings. */
import { join } from "node:path";
import { install } from "../support/packages.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

export interface Installed {
  /** The folder with `node_modules`, or `null` with the reason. */
  readonly folder: string | null;
  readonly reason: string;
}

/** `name`: a folder of `test/clients` with a `package.json`. Its packages lie in `.clients/<name>`. */
export function installed(name: string): Installed {
  const folder = join(ROOT, ".clients", name);
  const fault = install(new URL(`./${name}/`, import.meta.url).pathname, folder);
  return fault === null ? { folder, reason: "" } : { folder: null, reason: `npm could not install ${name}: ${fault}` };
}

/** What a child may see: nothing of this machine's settings, and no network but this machine. */
export function isolatedEnv(home: string): Readonly<Record<string, string>> {
  const nowhere = "http://127.0.0.1:9";
  return {
    ...{ PATH: process.env["PATH"] ?? "", HOME: home, LANG: "C.UTF-8" },
    ...{ HTTPS_PROXY: nowhere, HTTP_PROXY: nowhere, NO_PROXY: "127.0.0.1,localhost" },
  };
}
