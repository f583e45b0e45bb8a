/** The Merkle tree of RFC 6962 section 2.1 (SHA-256), which RFC 9162 left as it was, and the checks of its paths. */
import { type Bytes, hexOf, joined, Refusal, same, sha256 } from "./bytes";

const HASH_BYTES = 32;
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);
const half = (number: number) => Math.floor(number / 2); // shifts of this language end at 32 bits
const isOdd = (number: number) => number % 2 === 1;

export function leafHash(leaf: Bytes): Promise<Bytes> {
  return sha256(joined(LEAF, leaf));
}

function nodeHash(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(joined(NODE, left, right));
}

/** Return the root that a path gives (RFC 9162 section 2.1.3.2). */
export async function rootOf(index: number, size: number, leaf: Bytes, path: readonly Bytes[]): Promise<Bytes> {
  checkHashes([leaf, ...path]);
  if (index >= size) throw new Refusal(`A head of ${size} entries does not cover entry ${index}.`);
  let place = index;
  let last = size - 1;
  let node = leaf;
  for (const sibling of path) {
    if (last === 0) throw new Refusal("The path is too long.");
    if (isOdd(place) || place === last) {
      node = await nodeHash(sibling, node);
      while (!isOdd(place) && place !== 0) {
        place = half(place);
        last = half(last);
      }
    } else {
      node = await nodeHash(node, sibling);
    }
    place = half(place);
    last = half(last);
  }
  if (last !== 0) throw new Refusal("The path is too short.");
  return node;
}

export interface Tree {
  size: number;
  root: Bytes;
}

/** Refuse unless the path shows the old tree to be the beginning of the new one (RFC 9162 section 2.1.4.2). */
export async function checkConsistency(old: Tree, now: Tree, path: readonly Bytes[]): Promise<void> {
  checkHashes([old.root, now.root, ...path]);
  if (old.size < 1 || old.size > now.size) {
    throw new Refusal(`A head of ${now.size} entries can not extend one of ${old.size}.`);
  }
  if (old.size === now.size) {
    if (path.length > 0 || !same(old.root, now.root)) throw new Refusal("Two heads of one size have different roots.");
    return;
  }
  const [first, ...rest] = isPower(old.size) ? [old.root, ...path] : path;
  if (first === undefined) throw new Refusal("The path is too short.");
  let place = old.size - 1;
  let last = now.size - 1;
  while (isOdd(place)) {
    place = half(place);
    last = half(last);
  }
  let before = first;
  let after = first;
  for (const sibling of rest) {
    if (last === 0) throw new Refusal("The path is too long.");
    if (isOdd(place) || place === last) {
      before = await nodeHash(sibling, before);
      after = await nodeHash(sibling, after);
      while (!isOdd(place) && place !== 0) {
        place = half(place);
        last = half(last);
      }
    } else {
      after = await nodeHash(after, sibling);
    }
    place = half(place);
    last = half(last);
  }
  if (last !== 0) throw new Refusal("The path is too short.");
  if (!same(before, old.root))
    throw new Refusal(`The path begins at the root ${hexOf(before)}, not at the older head's.`);
  if (!same(after, now.root)) throw new Refusal(`The path leads to the root ${hexOf(after)}, not to the newer head's.`);
}

function isPower(size: number): boolean {
  let rest = size;
  while (rest > 1 && !isOdd(rest)) rest = half(rest);
  return rest === 1;
}

function checkHashes(hashes: readonly Bytes[]): void {
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw new Refusal("A proof is made of hashes of 32 bytes.");
}
