import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import type { Inbox, Waiting } from "../../types";
import InboxView from "./InboxView";

const DRAFT: Waiting = {
  kind: "draft_waiting",
  id: "d_1",
  title: "Draft to review",
  sentence: "agent:robot asks for: <b>mend</b> the roof",
  cost: "The work does not begin before somebody decides.",
  since: "2026-01-01T00:00:00.000Z",
  deadline: null,
  href: "/review/d_1",
  next: { verb: "Review", command: "interlock draft show d_1", console: true },
  who_can: "a human with the role admin",
  ids: { draft: "d_1" },
  alerts: [],
};
const EXPIRING: Waiting = {
  ...DRAFT,
  kind: "approval_expiring",
  id: "a_1",
  sentence: "Approved by human:bob and never run: paint it",
  deadline: "2026-01-02T00:00:00.000Z",
  href: "/approved/a_1",
  next: { verb: "Run", command: "interlock run create a_1", console: true },
  alerts: ["al_7"],
};
const kind = (name: Waiting["kind"], title: string, listed: number, more = false) => ({
  kind: name,
  title,
  why: `Why ${title}.`,
  cost: `What ${title} costs.`,
  listed,
  more,
});
const TWO: Inbox = {
  id: "inbox",
  status: "waiting",
  now: "2026-01-01T12:00:00.000Z",
  items: [EXPIRING, DRAFT],
  kinds: [kind("approval_expiring", "Approval about to expire", 1), kind("draft_waiting", "Draft to review", 1)],
  more: false,
};
const EMPTY: Inbox = { ...TWO, status: "empty", items: [], kinds: [] };

function inbox(answer: unknown, me = ALICE, path = "/inbox") {
  const asked = network({ "GET /ops/inbox": answer });
  return { asked, ...shown(<InboxView id={undefined} me={me} />, path) };
}

test("what waits stands in the server's order, by kind, with its sentence as text and what it costs", async () => {
  const { container } = inbox(TWO);
  await screen.findByText(DRAFT.sentence);
  expect(screen.getAllByRole("heading", { level: 2 }).map((each) => each.textContent)).toEqual([
    "Approval about to expire",
    "Draft to review",
  ]);
  expect(container.querySelector("b")).toBeNull();
  expect(screen.getByText("What Draft to review costs.")).toBeTruthy();
  expect(screen.getByRole("status").textContent).toBe("2 matters wait, the dearest first.");
});

test("what would turn the order of a sentence is named", async () => {
  inbox({ ...TWO, items: [{ ...DRAFT, sentence: "agent:robot asks for: \u202egnp.exe" }] });
  expect(await screen.findByText("agent:robot asks for: <U+202E>gnp.exe")).toBeVisible();
  expect(screen.getByRole("link", { name: /<U\+202E>gnp\.exe/ })).toBeVisible();
});

test("each has its verb as a link to where it is done, its command, and its end", async () => {
  inbox(TWO);
  const first = within((await screen.findAllByRole("listitem"))[0] as HTMLElement);
  expect(first.getByRole("link", { name: /^Run: Approved by human:bob/ }).getAttribute("href")).toBe("/approved/a_1");
  expect(first.getByText("interlock run create a_1")).toBeTruthy();
  expect(first.getByRole("button", { name: "Copy the command for a_1" })).toBeTruthy();
  expect(first.getByText(/expires/).querySelector("time")?.title).toBe(EXPIRING.deadline);
  expect(first.getByRole("link", { name: "alert open" }).getAttribute("href")).toBe("/alerts/al_7");
});

test("who may not do it is told who can, and may look", async () => {
  inbox({ ...TWO, items: [{ ...DRAFT, next: null }], kinds: TWO.kinds.slice(1) }, ROBOT);
  expect(await screen.findByText("a human with the role admin can end this")).toBeTruthy();
  expect(screen.getByRole("link", { name: /^Look: / }).getAttribute("href")).toBe("/review/d_1");
  expect(screen.queryByText("interlock draft show d_1")).toBeNull();
  expect(screen.getByRole("status").textContent).toBe("1 matter waits; you can end none of them.");
});

test("what the console can not do is looked at here and typed there", async () => {
  const next = { verb: "Resume", command: "interlock pipeline resume pipeline_1", console: false };
  inbox({ ...TWO, items: [{ ...DRAFT, next, alerts: ["al_1", "al_2"] }], kinds: TWO.kinds.slice(1) });
  expect(await screen.findByText(next.command)).toBeTruthy();
  expect(screen.getByRole("link", { name: /^Look: / })).toBeTruthy();
  expect(screen.getByRole("link", { name: "2 alerts open" }).getAttribute("href")).toBe("/alerts");
});

test("j and k walk from verb to verb", async () => {
  inbox(TWO);
  const run = await screen.findByRole("link", { name: /^Run:/ });
  const review = screen.getByRole("link", { name: /^Review:/ });
  await userEvent.keyboard("j");
  expect(document.activeElement).toBe(run);
  await userEvent.keyboard("jj");
  expect(document.activeElement).toBe(review);
  await userEvent.keyboard("k");
  expect(document.activeElement).toBe(run);
});

test("a kind can be shown alone, by a link", async () => {
  inbox(TWO, ALICE);
  const kinds = within(await screen.findByRole("navigation", { name: "Inbox by kind" }));
  expect(kinds.getByRole("link", { name: "everything 2" }).getAttribute("aria-current")).toBe("page");
  await userEvent.click(kinds.getByRole("link", { name: "draft to review 1" }));
  expect(screen.getAllByRole("heading", { level: 2 }).map((each) => each.textContent)).toEqual(["Draft to review"]);
  expect(kinds.getByRole("link", { name: "draft to review 1" }).getAttribute("aria-current")).toBe("page");
});

test("where there are more than are listed it says so", async () => {
  inbox({ ...TWO, items: [DRAFT], kinds: [kind("draft_waiting", "Draft to review", 1, true)], more: true });
  expect(await screen.findByText("interlock inbox --most 100")).toBeTruthy();
  expect(screen.getByRole("link", { name: "draft to review 1+" })).toBeTruthy();
});

test("an empty inbox teaches how work begins", async () => {
  inbox(EMPTY);
  expect(await screen.findByRole("heading", { name: "Nothing waits for you" })).toBeTruthy();
  expect(screen.getByRole("link", { name: "write one" }).getAttribute("href")).toBe("/factory");
  expect(screen.getByText(/interlock draft create/)).toBeTruthy();
});

test("who may not write a draft is not told to", async () => {
  inbox(EMPTY, { ...ALICE, role: "actions" });
  await screen.findByRole("heading", { name: "Nothing waits for you" });
  expect(screen.queryByRole("link", { name: "write one" })).toBeNull();
});

test("a failure is told in the server's words, and asked again", async () => {
  inbox(problem(503, "database_away", "The database can not be reached.", "Start it."));
  const alert = await screen.findByRole("alert");
  for (const text of ["The database can not be reached.", "Start it.", "req-77"])
    expect(alert.textContent).toContain(text);
  expect(within(alert).getByRole("button", { name: "Try again" })).toBeTruthy();
});
