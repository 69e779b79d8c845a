/**
 * Encryption of stored responses under the secret of the API key that sent the request.
 *
 * The encryption key comes from that secret alone (HKDF-SHA-256, bound to the key's id), so that storage, pepper and
 * Worker secrets together open nothing: only a request that carries the secret does. AES-256-GCM with a fresh nonce per
 * part, and the response's id and the part's name as additional data, so that no part can stand in for another.
 */

/** Who stored it, or asks for it. */
export interface Owner {
  readonly keyId: string;
  /** The secret part of the API key, as the client sent it. */
  readonly secret: string;
}

const NONCE_BYTES = 12;
const MARK_BYTES = 16;
const encoder = new TextEncoder();

export class Seal {
  /** Finds what this secret stored among a key's responses. Derived next to the encryption key without revealing it. */
  readonly mark: Uint8Array;
  readonly #key: CryptoKey;

  private constructor(key: CryptoKey, mark: Uint8Array) {
    this.#key = key;
    this.mark = mark;
  }

  static async of({ keyId, secret }: Owner): Promise<Seal> {
    const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, [
      "deriveKey",
      "deriveBits",
    ]);
    const use = (purpose: string) => ({
      ...{ name: "HKDF", hash: "SHA-256", salt: encoder.encode(keyId) },
      info: encoder.encode(`conversation-store ${purpose}`),
    });
    const [key, mark] = await Promise.all([
      crypto.subtle.deriveKey(use("content"), material, { name: "AES-GCM", length: 256 }, false, [
        "encrypt",
        "decrypt",
      ]),
      crypto.subtle.deriveBits(use("mark"), material, MARK_BYTES * 8),
    ]);
    return new Seal(key, new Uint8Array(mark));
  }

  /** `place`: the response's id and the name of the part. */
  async close(text: string, place: string): Promise<Uint8Array> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const data = await crypto.subtle.encrypt(this.#terms(nonce, place), this.#key, encoder.encode(text));
    const sealed = new Uint8Array(NONCE_BYTES + data.byteLength);
    sealed.set(nonce);
    sealed.set(new Uint8Array(data), NONCE_BYTES);
    return sealed;
  }

  /** Rejects for bytes of another secret, of another place, or that were changed. */
  async open(sealed: Uint8Array, place: string): Promise<string> {
    const terms = this.#terms(sealed.slice(0, NONCE_BYTES), place);
    // A view: a copy of a long response would take its bytes once more.
    const data = sealed.subarray(NONCE_BYTES) as Uint8Array<ArrayBuffer>;
    return new TextDecoder().decode(await crypto.subtle.decrypt(terms, this.#key, data));
  }

  #terms(iv: Uint8Array<ArrayBuffer>, place: string) {
    return { name: "AES-GCM", iv, additionalData: encoder.encode(place) };
  }
}
