/** A log of twelve entries for the tests of these screens. */
import type { LogEntryInFull, LogHead, LogKey, LogPage } from "../../types";
import vectors from "./vectors.json";

export const HOSTILE = "<img src=x onerror=alert(1)>";
const found = vectors.entries.find((each) => each.index === 5) ?? vectors.entries[0];
if (!found) throw new Error("no vector");
export const EVENT = {
  kind: "run.step_completed",
  subject: HOSTILE,
  principal: "service:worker@host",
  correlation_id: null,
  time: "2026-11-21T08:00:00.125Z",
  payload: { note: HOSTILE },
};
export const ENTRY: LogEntryInFull = {
  ...(JSON.parse(found.leaf) as typeof EVENT),
  index: found.index,
  leaf: found.leaf,
  leaf_hash: found.leaf_hash,
  statement: null,
  committed: [
    { place: "terms.prompt_ref", ref: "salted-sha256:00", standing: "erased", erased_at: "2026-11-21T08:00:00.125Z" },
  ],
  covered: true,
};
export const HEAD: LogHead = {
  size: 11,
  status: "signed",
  root: vectors.head.root,
  time: "2026-11-21T08:00:00.125Z",
  note: vectors.head.note,
  origin: vectors.head.origin,
  entries: 12,
  log_keys: [vectors.vkey],
  cosigned: [{ name: "witness.example/w1", keyid: "00112233", time: "2026-11-21T08:00:00Z", counted: false }],
};
export const PAGE: LogPage = {
  entries: [
    { ...EVENT, index: 11 },
    { ...EVENT, index: 5 },
  ],
  size: 12,
  searched_from: 5,
  searched_to: 12,
  next: 5,
};
export const KEY: LogKey = {
  keyid: "00aabbcc",
  name: "human-alice",
  owner: "human:alice",
  purpose: "human",
  role: null,
  vkey: vectors.other_vkey,
  from_index: 3,
  until_index: null,
  revoked_from: 7,
  reason: HOSTILE,
};
export const ANSWERS = {
  "GET /ops/evidence/entries": PAGE,
  "GET /ops/evidence/entries/5": ENTRY,
  "GET /ops/evidence/entries/5/proof": { id: "5", status: "proved", proof: found.proof },
  "GET /ops/evidence/head": HEAD,
  "GET /ops/evidence/keys": [KEY],
};
