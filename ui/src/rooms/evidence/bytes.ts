/** Bytes and their texts, read strictly: one value has one spelling. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Why something does not hold, in one sentence. */
export class Refusal extends Error {}

/** The browser itself can not do it; nothing is said about what was to be checked. */
export class Unable extends Error {}

export function utf8(text: string): Bytes {
  return new Uint8Array(new TextEncoder().encode(text));
}

export function joined(...parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function same(one: Bytes, other: Bytes): boolean {
  return one.length === other.length && one.every((byte, place) => byte === other[place]);
}

export function hexOf(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Read standard base64 in its canonical spelling (RFC 4648 sections 3.5 and 4). */
export function base64(text: string): Bytes | undefined {
  let found: string;
  try {
    found = atob(text);
  } catch {
    return undefined;
  }
  return btoa(found) === text ? Uint8Array.from(found, (letter) => letter.charCodeAt(0)) : undefined;
}

/** The browser's cryptography, which it hides from pages that came over plain HTTP from elsewhere. */
export function subtle(): SubtleCrypto {
  const found = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (found) return found;
  throw new Unable("A browser gives its cryptography only to pages from HTTPS or from this machine.");
}

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await subtle().digest("SHA-256", bytes));
}
