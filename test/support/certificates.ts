/**
 * Certificates made when a test asks for them, so that none is kept in the checkout and none runs out. Node can sign
 * but not issue, so the few bytes of X.509 (RFC 5280 section 4.1) are put together here.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface CertificateSpec {
  /** Names a client may call it by: a host name or an IPv4 address. */
  readonly host: string;
  /** Days from now, negative: in the past. */
  readonly fromDays?: number;
  readonly untilDays?: number;
}

const DAY_MS = 86_400_000;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(content.length);
  const length = size.subarray(size.findIndex((byte: number) => byte !== 0));
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const octets = (bytes: Uint8Array): Buffer => der(0x04, bytes);
const oid = (...bytes: readonly number[]): Buffer => der(0x06, Buffer.from(bytes));
const generalizedTime = (at: number): Buffer =>
  der(0x18, Buffer.from(new Date(at).toISOString().replace(/[-:T]|\.\d+/g, "")));

const ECDSA_WITH_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const COMMON_NAME = oid(0x55, 0x04, 0x03);
const BASIC_CONSTRAINTS = oid(0x55, 0x1d, 0x13);
const SUBJECT_ALT_NAME = oid(0x55, 0x1d, 0x11);
const TRUE = der(0x01, Buffer.of(0xff));

const name = (text: string): Buffer => sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(text)))));

function alternativeName(host: string): Buffer {
  const isAddress = /^\d+(\.\d+){3}$/.test(host);
  return isAddress ? der(0x87, Buffer.from(host.split(".").map(Number))) : der(0x82, Buffer.from(host));
}

interface Issuer {
  readonly name: string;
  readonly key: KeyObject;
}

function issue(subject: string, keys: { publicKey: KeyObject }, issuer: Issuer, spec: CertificateSpec | "authority") {
  const { fromDays = -1, untilDays = 1 } = spec === "authority" ? {} : spec;
  const now = Date.now();
  const extension =
    spec === "authority"
      ? sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence(TRUE)))
      : sequence(SUBJECT_ALT_NAME, octets(sequence(alternativeName(spec.host))));
  const serial = Buffer.concat([Buffer.of(1), randomBytes(8)]);
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    ECDSA_WITH_SHA256,
    name(issuer.name),
    sequence(generalizedTime(now + fromDays * DAY_MS), generalizedTime(now + untilDays * DAY_MS)),
    name(subject),
    keys.publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(extension)),
  );
  const signature = sign("sha256", body, issuer.key);
  const whole = sequence(body, ECDSA_WITH_SHA256, der(0x03, Buffer.of(0), signature));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

const newKeys = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** An authority of its own: what it issues is trusted by whoever trusts `cert`. */
export function newAuthority(): { readonly cert: string; issue(spec: CertificateSpec): Certificate } {
  const keys = newKeys();
  const issuer = { name: "Test authority", key: keys.privateKey };
  return {
    cert: issue(issuer.name, keys, issuer, "authority"),
    issue(spec) {
      const own = newKeys();
      return { cert: issue("Test provider", own, issuer, spec), key: pemOf(own.privateKey) };
    },
  };
}

/** Signed by nobody but itself. */
export function selfSigned(spec: CertificateSpec): Certificate {
  const keys = newKeys();
  return {
    cert: issue("Test provider", keys, { name: "Test provider", key: keys.privateKey }, spec),
    key: pemOf(keys.privateKey),
  };
}
