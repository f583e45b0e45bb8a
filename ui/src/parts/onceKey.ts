/**
 * A name for one request: sent twice by accident, it still makes one thing.
 * `randomUUID` is not there on a page that came without TLS.
 */
export function onceKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
