import { afterEach, describe, expect, test, vi } from "vitest";
import { type Bytes, base64, hexOf, utf8 } from "./bytes";
import { readVerifier } from "./note";
import { checkConsistency, leafHash, rootOf } from "./tree";
import vectors from "./vectors.json";
import { readConsistency, readProof, type Step, verifyConsistency, verifyEntry, verifyEnvelope } from "./verifying";

afterEach(() => vi.restoreAllMocks());

const KEYS = [vectors.vkey];
const bytes = (hex: string): Bytes => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const told = (steps: readonly Step[]) => steps.map(({ name, state }) => `${name} ${state}`);
const ALL = ["Leaf holds", "Proof holds", "Path holds", "Signature holds"];

function entry(index: number) {
  const found = vectors.entries.find((each) => each.index === index);
  if (!found) throw new Error(`no vector ${index}`);
  return found;
}
/** Spell another base64 of the same length: its `at`th byte is another one. */
function bent(text: string, at: number): string {
  const read = base64(text) ?? new Uint8Array();
  return btoa(String.fromCharCode(...read.map((byte, place) => (place === at ? byte ^ 1 : byte))));
}
/** Bend the line of a proof that fits, in its base64 part. */
function bentLine(proof: string, fits: RegExp, at = 5): string {
  return proof.replace(fits, (_all, before: string, encoded: string) => `${before}${bent(encoded, at)}`);
}
const words = (steps: readonly Step[]) => steps.filter((step) => step.state === "fails").map((step) => step.said);

describe("published trees of RFC 6962's reference implementation", () => {
  const leaves = () => Promise.all(vectors.published.leaves.map((leaf) => leafHash(bytes(leaf))));

  test("the first leaf hash and the last root are the published ones", async () => {
    expect(hexOf(await leafHash(new Uint8Array()))).toBe(
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    );
    expect(vectors.published.trees.at(-1)?.root).toBe(
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    );
  });

  test("every path leads to its root, and to no other tree's", async () => {
    const hashed = await leaves();
    for (const { size, root, paths } of vectors.published.trees) {
      for (const [index, path] of paths.entries()) {
        const leaf = hashed[index] ?? new Uint8Array();
        expect(hexOf(await rootOf(index, size, leaf, path.map(bytes)))).toBe(root);
        await expect(rootOf(index, size, leaf, [...path.map(bytes), leaf])).rejects.toThrow("too long");
        if (path.length) await expect(rootOf(index, size, leaf, path.slice(1).map(bytes))).rejects.toThrow("too short");
      }
    }
  });

  test("every tree begins every larger one", async () => {
    const trees = vectors.published.trees.map(({ size, root }) => ({ size, root: bytes(root) }));
    for (const [place, now] of trees.entries()) {
      const paths = vectors.published.trees[place]?.from ?? [];
      for (const [number, path] of paths.entries()) {
        const old = trees[number] ?? now;
        const read = path.map(bytes);
        await checkConsistency(old, now, read);
        const wrong = { ...old, root: now.root.map((byte) => byte ^ 1) };
        await expect(checkConsistency(wrong, now, read)).rejects.toThrow();
        await expect(checkConsistency(old, { ...now, root: wrong.root }, read)).rejects.toThrow();
        if (path.length) await expect(checkConsistency(old, now, read.slice(0, -1))).rejects.toThrow();
        await expect(checkConsistency(old, now, [...read, now.root])).rejects.toThrow();
      }
    }
    await expect(
      checkConsistency({ size: 9, root: bytes("00".repeat(32)) }, trees[0] ?? { size: 0, root: bytes("") }, []),
    ).rejects.toThrow("can not extend");
  });
});

describe("an entry", () => {
  test.each(vectors.entries.map((each) => [each.index, each] as const))(
    "%i holds step by step",
    async (_index, each) => {
      expect(told(await verifyEntry(each, each.proof, KEYS))).toEqual(ALL);
      expect(readProof(each.proof).path.map(hexOf)).toEqual(each.path);
    },
  );

  test("whose bytes were changed fails by its leaf hash and by its path", async () => {
    const each = entry(5);
    const steps = await verifyEntry({ ...each, leaf: each.leaf.replace("collect", "Collect") }, each.proof, KEYS);
    expect(told(steps)).toEqual(["Leaf fails", "Proof holds", "Path fails", "Signature holds"]);
    expect(words(steps)[0]).toContain("The entry's bytes hash to");
    expect(words(steps)[1]).toContain("The leaf leads to the root");
  });

  test("whose leaf hash was changed with it fails by its path", async () => {
    const each = entry(5);
    const leaf = each.leaf.replace("collect", "Collect");
    const steps = await verifyEntry({ ...each, leaf, leaf_hash: hexOf(await leafHash(utf8(leaf))) }, each.proof, KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path fails", "Signature holds"]);
  });

  test("whose path was changed, cut or made longer says so", async () => {
    const each = entry(5);
    const hash = /(index 5\n)(\S+)/;
    const changed = await verifyEntry(each, bentLine(each.proof, hash), KEYS);
    expect(told(changed)).toEqual(["Leaf holds", "Proof holds", "Path fails", "Signature holds"]);
    const cut = await verifyEntry(each, each.proof.replace(/(index 5\n)\S+\n/, "$1"), KEYS);
    expect(words(cut)).toEqual(["The path is too short."]);
    const longer = await verifyEntry(each, each.proof.replace(/(index 5\n)(\S+\n)/, "$1$2$2"), KEYS);
    expect(words(longer)).toEqual(["The path is too long."]);
  });

  test("whose head has another root fails by its path and by the signature", async () => {
    const each = entry(5);
    const steps = await verifyEntry(each, bentLine(each.proof, /(\n\n[^\n]+\n11\n)(\S+)/), KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path fails", "Signature fails"]);
    expect(words(steps)[1]).toContain("does not fit the head's text");
  });

  test("whose head has another size fails by the signature, and by the path where it matters", async () => {
    const each = entry(10);
    const steps = await verifyEntry(each, each.proof.replace("\n11\n", "\n12\n"), KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path fails", "Signature fails"]);
    const small = await verifyEntry(each, each.proof.replace("\n11\n", "\n10\n"), KEYS);
    expect(words(small)[0]).toBe("A head of 10 entries does not cover entry 10.");
  });

  test("whose signature was changed fails by it alone", async () => {
    const each = entry(5);
    const steps = await verifyEntry(each, bentLine(each.proof, /(\u2014 \S+ )(\S+)/, 40), KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path holds", "Signature fails"]);
    expect(words(steps)[0]).toContain("does not fit the head's text");
  });

  test("that another key signed is not taken, and its signer is named", async () => {
    const each = entry(5);
    const steps = await verifyEntry(each, each.proof, [vectors.other_vkey]);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path holds", "Signature fails"]);
    expect(words(steps)[0]).toContain("None of the keys that count here signed this head");
    expect(words(await verifyEntry(each, each.proof, []))[0]).toContain("None of the keys");
  });

  test("with the proof of another entry fails by that", async () => {
    const steps = await verifyEntry(entry(5), entry(7).proof, KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof fails", "Path undecided", "Signature holds"]);
    expect(words(steps)).toEqual(["The proof is of entry 7, not of 5."]);
  });

  test("under a head that the key signed in another log's name fails by that", async () => {
    const steps = await verifyEntry(entry(5), vectors.foreign, KEYS);
    expect(told(steps)).toEqual(["Leaf holds", "Proof holds", "Path holds", "Signature fails"]);
    expect(words(steps)[0]).toContain("the head is of the log other.example/log");
  });

  test("whose proof spells a hash in another way is not taken", async () => {
    const each = entry(5);
    const other = each.proof.replace(/(index 5\n\S*)(.)=\n/, (_all, before: string, last: string) => {
      const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      return `${before}${letters[letters.indexOf(last) + 1]}=\n`;
    });
    expect(other).not.toBe(each.proof);
    expect(words(await verifyEntry(each, other, KEYS))[0]).toContain("in base64");
  });

  test.each(["", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nindex 05\n\nx\n\n\u2014 a b\n", "{}"])(
    "with no proof at all (%j) leaves the rest undecided or failed, and never green",
    async (text) => {
      const [leaf, ...rest] = await verifyEntry(entry(5), text, KEYS);
      expect(leaf?.state).toBe("holds");
      expect(rest.map((step) => step.state)).not.toContain("holds");
    },
  );

  test("is undecided where the browser knows no Ed25519, and where it hides its cryptography", async () => {
    vi.spyOn(crypto.subtle, "importKey").mockRejectedValue(new DOMException("no", "NotSupportedError"));
    const old = await verifyEntry(entry(5), entry(5).proof, KEYS);
    expect(told(old)).toEqual(["Leaf holds", "Proof holds", "Path holds", "Signature undecided"]);
    expect(old.at(-1)?.said).toContain("can not check Ed25519");
    vi.spyOn(globalThis.crypto, "subtle", "get").mockReturnValue(undefined as unknown as SubtleCrypto);
    const plain = await verifyEntry(entry(5), entry(5).proof, KEYS);
    expect(told(plain)).toEqual(["Leaf undecided", "Proof holds", "Path undecided", "Signature undecided"]);
  });
});

describe("a verifier key", () => {
  test("is read, and a wrong letter of it is seen", async () => {
    const key = await readVerifier(`  ${vectors.vkey}\n`);
    expect(key.name).toBe(vectors.head.origin);
    await expect(readVerifier(vectors.vkey.replace("evidence", "Evidence"))).rejects.toThrow("id would be");
    for (const wrong of ["", "a+b", "not a key", vectors.vkey.slice(0, -4)]) {
      await expect(readVerifier(wrong)).rejects.toThrow("no verifier key");
    }
  });
});

describe("two heads", () => {
  test.each(vectors.consistency.map((each) => [each.first, each.second, each] as const))(
    "of %i and %i entries are one log",
    async (first, second, { old, new: now, proof }) => {
      const step = await verifyConsistency(old.note, now.note, proof, KEYS);
      expect(step.state).toBe("holds");
      expect(step.said).toContain(String(first));
      const read = readConsistency(proof);
      expect([read.old, read.now]).toEqual([old.note, now.note]);
      expect(now.size).toBe(second);
    },
  );

  test("are told apart where one is rewritten, the path is bent, or the proof is of others", async () => {
    const [, grown, , , far] = vectors.consistency;
    if (!grown || !far) throw new Error("no vectors");
    const rewritten = bentLine(grown.old.note, /(\n3\n)(\S+)/);
    const said = async (before: string, after: string, proof: string | undefined) => {
      const step = await verifyConsistency(before, after, proof, KEYS);
      expect(step.state).toBe("fails");
      return step.said;
    };
    expect(await said(rewritten, grown.new.note, grown.proof)).toContain("does not fit the head's text");
    expect(await said(grown.old.note, grown.new.note, far.proof)).toContain("other heads");
    expect(await said(grown.old.note, grown.new.note, bentLine(grown.proof, /(@v1\n)(\S+)/))).toContain("root");
    expect(await said(grown.old.note, grown.new.note, undefined)).toContain("This proof begins with");
    expect(await said(far.new.note, far.old.note, far.proof)).toContain("The log went back");
  });
});

describe("an envelope", () => {
  const digest = async () =>
    `sha256:${hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(vectors.envelope))))}`;

  test("is the one that the entry names, signed by the key", async () => {
    expect(told(await verifyEnvelope(await digest(), vectors.envelope, vectors.vkey))).toEqual([
      "Envelope holds",
      "Statement holds",
    ]);
  });

  test("that was changed, or that another key signed, fails in its own words", async () => {
    const changed = vectors.envelope.replace(/"payload":"(..)/, '"payload":"$1'.replace("$1", "fX"));
    expect(told(await verifyEnvelope(await digest(), changed, vectors.vkey))).toEqual([
      "Envelope fails",
      "Statement fails",
    ]);
    const other = await verifyEnvelope(await digest(), vectors.envelope, vectors.other_vkey);
    expect(words(other)[0]).toContain("did not sign it");
    expect(words(await verifyEnvelope(await digest(), "no json", vectors.vkey)).at(-1)).toContain("no DSSE envelope");
  });
});
