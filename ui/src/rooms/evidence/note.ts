/** Signed notes (c2sp.org/signed-note), the heads in them (c2sp.org/tlog-checkpoint), and their Ed25519 keys. */
import { type Bytes, base64, hexOf, joined, Refusal, same, sha256, subtle, Unable, utf8 } from "./bytes";
import type { Tree } from "./tree";

const ED25519 = 1;
const ID_BYTES = 4;
const SIGNATURE_BYTES = 64;
const WHOLE = /^(0|[1-9][0-9]{0,15})$/;

export interface Verifier {
  name: string;
  /** Four bytes that name the key: a hint, not a proof. */
  id: Bytes;
  key: Bytes;
}
export interface Head extends Tree {
  origin: string;
}
interface Note {
  text: string;
  signatures: { name: string; id: Bytes; signature: Bytes }[];
}

/** Read `<name>+<key id in hex>+<base64 of 0x01 and the key>`. */
export async function readVerifier(vkey: string): Promise<Verifier> {
  const [name = "", stated = "", ...rest] = vkey.trim().split("+");
  const typed = base64(rest.join("+"));
  if (!name || /\s/.test(name) || typed?.length !== 33 || typed[0] !== ED25519) {
    throw new Refusal("This is no verifier key: it reads name+key id+base64, as `log.vkey` does.");
  }
  const id = (await sha256(joined(utf8(`${name}\n`), typed))).slice(0, ID_BYTES);
  if (hexOf(id) !== stated) throw new Refusal(`The key's id would be ${hexOf(id)}; a letter of it is wrong.`);
  return { name, id, key: typed.slice(1) };
}

export function readNote(note: string): Note {
  const gap = note.lastIndexOf("\n\n");
  if (gap < 0 || !note.endsWith("\n")) throw new Refusal("This is no signed note: text, a blank line, signatures.");
  const lines = note.slice(gap + 2, -1).split("\n");
  return { text: note.slice(0, gap + 1), signatures: lines.map(readSignature) };
}

function readSignature(line: string): Note["signatures"][number] {
  const [, name = "", encoded = ""] = /^\u2014 ([^\s+]+) (\S+)$/.exec(line) ?? [];
  const blob = base64(encoded);
  if (!name || blob === undefined || blob.length <= ID_BYTES) throw new Refusal(`Not a signature line: ${line}`);
  return { name, id: blob.slice(0, ID_BYTES), signature: blob.slice(ID_BYTES) };
}

/** Read a head's three lines: origin, size, root. */
export function readHead(text: string): Head {
  const [origin = "", size = "", root = "", end, ...more] = text.split("\n");
  const hash = base64(root);
  if (!origin || !WHOLE.test(size) || hash?.length !== 32 || end !== "" || more.length > 0) {
    throw new Refusal("A head is three lines: the log's name, its size, its root.");
  }
  return { origin, size: Number(size), root: hash };
}

/** Return the key out of these that signed the note; refuse where one's signature is wrong, or none signed. */
export async function signerOf(note: string, trusted: readonly Verifier[]): Promise<Verifier> {
  const { text, signatures } = readNote(note);
  let found: Verifier | undefined;
  for (const { name, id, signature } of signatures) {
    const named = trusted.filter((each) => each.name === name && same(each.id, id));
    for (const verifier of named) {
      if (!(await isSigned(verifier.key, signature, utf8(text)))) {
        throw new Refusal(`The signature by ${name}+${hexOf(id)} does not fit the head's text.`);
      }
      found ??= verifier;
    }
  }
  if (found) return found;
  const names = signatures.map(({ name, id }) => `${name}+${hexOf(id)}`).join(", ");
  throw new Refusal(`None of the keys that count here signed this head. It is signed by ${names}.`);
}

export async function isSigned(key: Bytes, signature: Bytes, message: Bytes): Promise<boolean> {
  if (signature.length !== SIGNATURE_BYTES) return false;
  let imported: CryptoKey;
  try {
    imported = await subtle().importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch (failure) {
    if (failure instanceof DOMException && failure.name === "NotSupportedError") {
      throw new Unable("This browser can not check Ed25519 signatures.");
    }
    if (failure instanceof Unable) throw failure;
    return false;
  }
  return subtle().verify({ name: "Ed25519" }, imported, signature, message);
}
