/**
 * Makes workerd trust an authority of the tests. Miniflare reads the list of authorities when it is loaded, so this has
 * to be the first import of a test file.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newAuthority } from "./certificates.ts";

export const authority = newAuthority();

const directory = mkdtempSync(join(tmpdir(), "flow-layer-"));
const path = join(directory, "authority.pem");
writeFileSync(path, authority.cert);
process.env["NODE_EXTRA_CA_CERTS"] = path;

/** To be called when Miniflare is loaded: it has read the file, and nobody else should. */
export function forgetFile(): void {
  delete process.env["NODE_EXTRA_CA_CERTS"];
  rmSync(directory, { recursive: true, force: true });
}
