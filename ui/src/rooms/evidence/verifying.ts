/**
 * Checks an entry of the log in the browser, step by step, by nothing that a server says of it.
 *
 * What is read: tlog-proof (c2sp.org/tlog-proof), our consistency proofs, and DSSE envelopes (secure-systems-lab/dsse).
 */
import { type Bytes, base64, hexOf, joined, Refusal, same, sha256, Unable, utf8 } from "./bytes";
import { type Head, isSigned, readHead, readNote, readVerifier, signerOf, type Verifier } from "./note";
import { checkConsistency, leafHash, rootOf } from "./tree";

export interface Step {
  name: string;
  /** Undecided: not reached, or the browser can not. */
  state: "holds" | "fails" | "undecided";
  said: string;
}
export interface Entry {
  index: number;
  leaf: string;
  leaf_hash: string;
}
export interface Proof {
  index: number;
  path: readonly Bytes[];
  note: string;
}

const TITLE = "c2sp.org/tlog-proof@v1";
const CONSISTENCY = "interlock/consistency@v1";
const MOST_HASHES = 63;

function hashes(lines: readonly string[]): Bytes[] {
  const read = lines.map(base64);
  const whole = read.filter((each) => each?.length === 32);
  if (whole.length !== lines.length || lines.length > MOST_HASHES) {
    throw new Refusal("A path is at most 63 hashes of 32 bytes, in base64.");
  }
  return whole.filter((each) => each !== undefined);
}

export function readProof(text: string): Proof {
  const gap = text.indexOf("\n\n");
  const [title, ...lines] = text.slice(0, Math.max(gap, 0)).split("\n");
  if (title !== TITLE) throw new Refusal(`A proof begins with the line ${TITLE}.`);
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const [, index] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "") ?? [];
  if (index === undefined) throw new Refusal("The proof does not name its entry.");
  return { index: Number(index), path: hashes(lines), note: text.slice(gap + 2) };
}

export function readConsistency(text: string): { path: readonly Bytes[]; old: string; now: string } {
  const [top = "", oldText, oldLines, nowText, nowLines, ...more] = text.split("\n\n");
  const [title, ...lines] = top.split("\n");
  if (title !== CONSISTENCY || nowLines === undefined || more.length > 0) {
    throw new Refusal(`This proof begins with the line ${CONSISTENCY} and ends with two heads.`);
  }
  return { path: hashes(lines), old: `${oldText}\n\n${oldLines}\n`, now: `${nowText}\n\n${nowLines}` };
}

/** Take the steps in their order; after one that does not hold, those that rest on it are left undecided. */
async function walked(steps: readonly (readonly [name: string, check: () => Promise<string>])[]): Promise<Step[]> {
  const done: Step[] = [];
  for (const [name, check] of steps) {
    try {
      done.push({ name, state: "holds", said: await check() });
    } catch (failure) {
      if (!(failure instanceof Refusal || failure instanceof Unable)) throw failure;
      done.push({ name, state: failure instanceof Unable ? "undecided" : "fails", said: failure.message });
    }
  }
  return done;
}

export async function readTrusted(vkeys: readonly string[]): Promise<Verifier[]> {
  return Promise.all(vkeys.map(readVerifier));
}

async function checkSigned(note: string, vkeys: readonly string[]): Promise<string> {
  const { origin } = readHead(readNote(note).text);
  const signer = await signerOf(note, await readTrusted(vkeys));
  if (signer.name !== origin) throw new Refusal(`The key is ${signer.name}'s, the head is of the log ${origin}.`);
  return `Signed by ${signer.name}+${hexOf(signer.id)}.`;
}

/** Check that an entry stands in the log: its bytes, the way to the root, and who signed that root. */
export async function verifyEntry(entry: Entry, proof: string, vkeys: readonly string[]): Promise<Step[]> {
  let hash: Bytes | undefined;
  let read: Proof | undefined;
  let head: Head | undefined;
  return walked([
    [
      "Leaf",
      async () => {
        hash = await leafHash(utf8(entry.leaf));
        if (hexOf(hash) === entry.leaf_hash) return `SHA-256 of 0x00 and the entry's bytes is ${entry.leaf_hash}.`;
        throw new Refusal(`The entry's bytes hash to ${hexOf(hash)}, its leaf hash is said to be ${entry.leaf_hash}.`);
      },
    ],
    [
      "Proof",
      async () => {
        read = readProof(proof);
        if (read.index !== entry.index)
          throw new Refusal(`The proof is of entry ${read.index}, not of ${entry.index}.`);
        head = readHead(readNote(read.note).text);
        return `It names entry ${read.index}, ${read.path.length} hashes and a head of ${head.size} entries.`;
      },
    ],
    [
      "Path",
      async () => {
        if (!hash || !read || !head) throw new Unable("Not reached: there is nothing to follow.");
        const root = await rootOf(entry.index, head.size, hash, read.path);
        if (same(root, head.root)) return `The leaf leads to the head's root ${hexOf(root)}.`;
        throw new Refusal(`The leaf leads to the root ${hexOf(root)}, the head's is ${hexOf(head.root)}.`);
      },
    ],
    [
      "Signature",
      async () => {
        if (!read) throw new Unable("Not reached: there is no head.");
        return checkSigned(read.note, vkeys);
      },
    ],
  ]);
}

/** Check that what a page shows as read is what the bytes say; both may have any fields besides. */
export async function verifyShown(name: string, bytes: string, shown: object): Promise<Step> {
  const [step] = await walked([
    [
      name,
      async () => {
        const read: Readonly<Record<string, unknown>> = parsed(bytes);
        const other = Object.entries(shown).filter(([field, value]) => !isSame(read[field], value));
        if (other.length === 0) return "What is shown is what the bytes say.";
        throw new Refusal(
          `The bytes say something else than what is shown: ${other.map(([field]) => field).join(", ")}.`,
        );
      },
    ],
  ]);
  return step ?? { name, state: "undecided", said: "" };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal("The bytes are no JSON.");
  }
}

/** Compare decoded JSON; the order of keys says nothing. */
function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return one === other;
  const [left, right] = [Object.entries(one), new Map(Object.entries(other))];
  return (
    Array.isArray(one) === Array.isArray(other) &&
    left.length === right.size &&
    left.every(([name, value]) => right.has(name) && isSame(value, right.get(name)))
  );
}

/** Check that the head seen before is the beginning of the newer one. Both are compared with what was seen. */
export async function verifyConsistency(
  before: string,
  after: string,
  proof: string | undefined,
  vkeys: readonly string[],
): Promise<Step> {
  const [step] = await walked([
    [
      "Growth",
      async () => {
        const [old, now] = [before, after].map((note) => readHead(readNote(note).text));
        if (!old || !now || old.origin !== now.origin) throw new Refusal("The two heads are of different logs.");
        if (now.size < old.size) {
          throw new Refusal(
            `The log went back: a head of ${old.size} entries was seen before, this one has ${now.size}.`,
          );
        }
        await checkSigned(before, vkeys);
        await checkSigned(after, vkeys);
        if (old.size === now.size) await checkConsistency(old, now, []);
        else {
          const read = readConsistency(proof ?? "");
          const [oldRead, nowRead] = [read.old, read.now].map((note) => readHead(readNote(note).text));
          if (oldRead?.size !== old.size || nowRead?.size !== now.size) {
            throw new Refusal("The proof is of other heads than those that were seen.");
          }
          await checkConsistency(old, now, read.path);
        }
        return old.size === now.size
          ? `It is the head of ${old.size} entries that was seen before.`
          : `The head of ${now.size} entries extends the one of ${old.size} seen before.`;
      },
    ],
  ]);
  return step ?? { name: "Growth", state: "undecided", said: "" };
}

/** Check an envelope: that it is the one that the entry names, and that this key signed it. */
export async function verifyEnvelope(digest: string, envelope: string, vkey: string): Promise<Step[]> {
  return walked([
    [
      "Envelope",
      async () => {
        const found = `sha256:${hexOf(await sha256(utf8(envelope)))}`;
        if (found === digest) return "It is the envelope that the entry names by its digest.";
        throw new Refusal(`The envelope's digest is ${found}, the entry names ${digest}.`);
      },
    ],
    [
      "Statement",
      async () => {
        const { payload, payloadType, signatures } = asEnvelope(envelope);
        const body = base64(payload);
        const verifier = await readVerifier(vkey);
        const signed = signatures.find((each) => each?.keyid === hexOf(verifier.id));
        const signature = base64(signed?.sig ?? "");
        if (!body || !signature?.length) throw new Refusal(`${verifier.name}+${hexOf(verifier.id)} did not sign it.`);
        const kind = utf8(payloadType);
        const message = joined(utf8(`DSSEv1 ${kind.length} ${payloadType} ${body.length} `), body);
        if (await isSigned(verifier.key, signature, message))
          return `Signed by ${verifier.name}+${hexOf(verifier.id)}, the key that this server names for it.`;
        throw new Refusal(`The signature by ${verifier.name}+${hexOf(verifier.id)} does not fit the statement.`);
      },
    ],
  ]);
}

function asEnvelope(text: string) {
  try {
    const { payload, payloadType, signatures } = JSON.parse(text);
    const list: readonly { keyid?: string; sig?: string }[] = Array.isArray(signatures) ? signatures : [];
    return { payload: String(payload), payloadType: String(payloadType), signatures: list };
  } catch {
    throw new Refusal("This is no DSSE envelope.");
  }
}

/** Return an envelope's statement as text, unverified; empty where it holds none. */
export function statementOf(envelope: string): string {
  try {
    return new TextDecoder().decode(base64(asEnvelope(envelope).payload));
  } catch {
    return "";
  }
}
