/**
 * Makes workerd trust an authority of the tests. Miniflare reads the list of authorities when it is loaded, so this has
 * to be the first import of a test file.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newAuthority } from "./certificates.ts";

export const authority = newAuthority();

const path = join(mkdtempSync(join(tmpdir(), "flow-layer-")), "authority.pem");
writeFileSync(path, authority.cert);
process.env["NODE_EXTRA_CA_CERTS"] = path;
