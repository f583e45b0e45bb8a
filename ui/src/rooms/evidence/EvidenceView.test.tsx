import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import EvidenceView from "./EvidenceView";
import { ANSWERS, ENTRY, HEAD, HOSTILE } from "./samples";
import { forgetAll } from "./trust";
import vectors from "./vectors.json";

const words = () =>
  screen.getAllByRole("listitem").flatMap((item) => {
    const [name, word] = [...item.children].map((each) => each.textContent);
    return item.dataset.state ? [`${name} ${word}`] : [];
  });
const verify = async () => userEvent.click(await screen.findByRole("button", { name: "Verify here" }));

beforeEach(forgetAll);
afterEach(() => expect(document.querySelector("img")).toBeNull());

describe("one entry", () => {
  test("is verified here step by step, and it is said by whose key", async () => {
    network(ANSWERS);
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    await verify();
    expect(await screen.findByText(/stands in the log as it is shown here/)).toHaveProperty(
      "textContent",
      "The entry stands in the log as it is shown here, by the key that this server gives.",
    );
    expect(words()).toEqual([
      "Shown holds",
      "Leaf holds",
      "Proof holds",
      "Path holds",
      "Signature holds",
      "Growth holds",
    ]);
    expect(screen.getByText(/not that the key is the right one/)).toBeTruthy();
  });

  test("that the server shows otherwise than it was does not hold, whatever the server says", async () => {
    network({
      ...ANSWERS,
      "GET /ops/evidence/entries/5": { ...ENTRY, leaf: ENTRY.leaf.replace("collect", "Collect") },
    });
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    await verify();
    expect(await screen.findByText(/This does not hold/)).toBeTruthy();
    expect(words()).toEqual([
      "Shown does not hold",
      "Leaf does not hold",
      "Proof holds",
      "Path does not hold",
      "Signature holds",
    ]);
    expect(screen.queryByText(/stands in the log/)).toBeNull();
  });

  test("is checked with the key that the reader kept, and with no other", async () => {
    network(ANSWERS);
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    const field = await screen.findByLabelText("The log's key (vkey)");
    await userEvent.type(field, `${vectors.other_vkey}{Enter}`);
    await screen.findByText(/the key that you pasted/);
    await verify();
    expect(await screen.findByText(/None of the keys that count here signed this head/)).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Forget it" }));
    expect(screen.queryByText(/None of the keys/)).toBeNull();
    await userEvent.type(screen.getByLabelText("The log's key (vkey)"), `${vectors.vkey}{Enter}`);
    await verify();
    expect(await screen.findByText(/by the key that you kept/)).toBeTruthy();
    expect(JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href])).not.toContain(vectors.vkey);
  });

  test("a key that is none is refused in words", async () => {
    network(ANSWERS);
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    await userEvent.type(await screen.findByLabelText("The log's key (vkey)"), "nonsense{Enter}");
    expect((await screen.findByRole("alert")).textContent).toContain("This is no verifier key");
  });

  test("gives its proof and its line as files, and the command beside them", async () => {
    network(ANSWERS);
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    const proof = await screen.findByRole("link", { name: "Download the proof" });
    expect([proof.getAttribute("href"), proof.getAttribute("download")]).toEqual([
      "/ops/evidence/entries/5/proof.txt",
      "entry-5.tlog-proof",
    ]);
    const line = screen.getByRole("link", { name: "Download the entry" });
    expect([line.getAttribute("href"), line.getAttribute("download")]).toEqual([
      "/ops/evidence/entries/5/line",
      "entry-5.jsonl",
    ]);
    expect(screen.getByText("interlock evidence check entry-5.tlog-proof entry-5.jsonl --key log.vkey")).toBeTruthy();
  });

  test("that no head covers has no proof; an operator may sign, a reader is not offered it", async () => {
    network({ ...ANSWERS, "GET /ops/evidence/entries/5": { ...ENTRY, covered: false } });
    const { unmount } = shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    expect(await screen.findByText(/No signed head covers this entry yet/)).toBeTruthy();
    expect(screen.getByRole("button", { name: "Sign head" })).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Verify here" })).toBeNull();
    expect(screen.queryByRole("link", { name: "Download the proof" })).toBeNull();
    unmount();
    shown(<EvidenceView id="5" me={{ ...ROBOT, role: "actions" }} />, "/evidence/5");
    await screen.findByText(/No signed head covers/);
    expect(screen.queryByRole("button", { name: "Sign head" })).toBeNull();
  });

  test("whose payload is shown otherwise than its bytes say does not hold, though the proof does", async () => {
    network({
      ...ANSWERS,
      "GET /ops/evidence/entries/5": { ...ENTRY, payload: { ...ENTRY.payload, step: "approve" } },
    });
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    await verify();
    expect(await screen.findByText("The bytes say something else than what is shown: payload.")).toBeTruthy();
    expect(screen.getByText(/This does not hold/)).toBeTruthy();
  });

  test("shows what was erased as committed and erased, and hostile text as text", async () => {
    network({ ...ANSWERS, "GET /ops/evidence/entries/5": { ...ENTRY, subject: HOSTILE, payload: { note: HOSTILE } } });
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    const entry = await screen.findByRole("article", { name: "Entry 5" });
    expect(entry.textContent).toContain("committed, salted; erased");
    expect(screen.getByRole("group", { name: "The leaf" }).textContent).toBe(ENTRY.leaf);
    expect(within(entry).getByRole("link", { name: HOSTILE }).getAttribute("href")).toBe(
      `/evidence?${new URLSearchParams({ subject: HOSTILE })}`,
    );
  });

  test("a refused proof is told in the server's words", async () => {
    network({
      ...ANSWERS,
      "GET /ops/evidence/entries/5/proof": problem(
        409,
        "head_refused",
        "The log does not extend its last signed head.",
      ),
    });
    shown(<EvidenceView id="5" me={ALICE} />, "/evidence/5");
    await verify();
    expect((await screen.findByRole("alert")).textContent).toContain("The log does not extend its last signed head.");
  });
});

describe("the log as a whole", () => {
  test("shows its head, who cosigned it, and what it does not cover", async () => {
    network(ANSWERS);
    shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence");
    const log = await screen.findByRole("article", { name: "The log" });
    expect(log.textContent).toContain("11 entries; 1 came after it");
    expect(log.textContent).toContain("witness.example/w1 (00112233)");
    expect(log.textContent).toContain("not a witness of the policy here");
    await waitFor(() => expect(words()).toEqual(["Growth holds"]));
    expect(screen.getByText("interlock evidence verify")).toBeTruthy();
  });

  test("a head that grew is held against the one seen before, by a proof", async () => {
    const [, , , grown] = vectors.consistency; // 8 to 11
    if (!grown) throw new Error("no vector");
    const proof = { id: "8-11", status: "consistent", first: 8, second: 11, proof: grown.proof };
    network({ ...ANSWERS, "GET /ops/evidence/head": { ...HEAD, size: 8, note: grown.old.note } });
    const first = shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence");
    await screen.findByText(/first head that this page sees/);
    first.unmount();
    const questions = network({ ...ANSWERS, "GET /ops/evidence/consistency": proof });
    const second = shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence");
    expect(await screen.findByText("The head of 11 entries extends the one of 8 seen before.")).toBeTruthy();
    expect(questions.map((each) => each.path)).toContain("/ops/evidence/consistency");
    second.unmount();
    network({ ...ANSWERS, "GET /ops/evidence/head": { ...HEAD, size: 8, note: grown.old.note } });
    shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence");
    expect(await screen.findByText(/The log went back/)).toBeTruthy();
  });

  test("keys say whose they are and from where they count no more", async () => {
    network(ANSWERS);
    shown(<EvidenceView id="log" me={ALICE} />, "/evidence/log");
    const row = within(await screen.findByRole("group", { name: "Table of keys" })).getAllByRole("row")[1];
    expect(row?.textContent).toContain("human:alice");
    expect(row?.textContent).toContain("revoked from entry 7 on");
    expect(row?.textContent).toContain(HOSTILE);
  });
});

describe("the list", () => {
  test("walks by j and k, and keeps its filters in the address", async () => {
    network(ANSWERS);
    shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence?kind=run&principal=service%3Aworker%40host");
    const list = await screen.findByRole("list", { name: "Entries" });
    const hrefs = within(list)
      .getAllByRole("link")
      .map((each) => each.getAttribute("href"));
    expect(hrefs).toEqual([11, 5].map((index) => `/evidence/${index}?kind=run&principal=service%3Aworker%40host`));
    const without = screen.getByRole("link", { name: "Without kind run" });
    expect(without.getAttribute("href")).toBe("/evidence?principal=service%3Aworker%40host");
    expect(screen.getByRole("link", { name: "Older" }).getAttribute("href")).toContain("before=5");
  });

  test("a search that found nothing yet says how far it looked, and goes on", async () => {
    network({
      ...ANSWERS,
      "GET /ops/evidence/entries": {
        entries: [],
        size: 250_000,
        searched_from: 150_000,
        searched_to: 250_000,
        next: 150_000,
      },
    });
    shown(<EvidenceView id={undefined} me={ALICE} />, "/evidence?subject=d_1");
    expect(await screen.findByText(/Entries from 150,000 on were looked through/)).toBeTruthy();
    expect(screen.getByRole("link", { name: "Search further back" }).getAttribute("href")).toBe(
      "/evidence?subject=d_1&before=150000",
    );
  });
});
