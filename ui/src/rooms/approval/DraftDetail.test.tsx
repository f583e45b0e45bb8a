import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { page } from "vitest/browser";
import { ALICE, DEFAULTS, DRAFT, network, problem, ROBOT, shown } from "../../testing";
import type { Difference } from "../../types";
import { DraftDetail } from "./DraftDetail";

const SAME: Difference = {
  draft_id: "d_1",
  version: 3,
  to: "previous",
  other: "d_1",
  other_version: 2,
  by: "agent:robot",
  at: "2026-01-01T00:00:00.000Z",
  sentence: "compared with version 2 of this draft, created by agent:robot",
  fields: [],
};
const DIFFERENCE = "GET /ops/drafts/d_1/difference";
const BASE = {
  "GET /ops/drafts/d_1": DRAFT,
  "GET /ops/defaults": DEFAULTS,
  [DIFFERENCE]: SAME,
  "GET /ops/drafts/d_1/versions": [
    { version: 3, how: "edited", by: "human:bob", at: "2026-01-01T00:00:00.000Z", reason: "clearer so" },
  ],
};
const APPROVE = "POST /ops/drafts/d_1/approve";
const REJECT = "POST /ops/drafts/d_1/reject";

test("exactly what will run is shown, as text, with fields that this page does not know", async () => {
  network(BASE);
  const { container } = shown(<DraftDetail id="d_1" me={ALICE} />);
  expect((await screen.findByRole("group", { name: "Prompt" })).textContent).toBe(DRAFT.prompt);
  expect(container.querySelector("script, b")).toBeNull();
  expect(screen.getByRole("group", { name: "Command" }).textContent).toBe(`sh -c 'echo '\\''it works'\\'''`);
  for (const text of ["/srv/code", "is shown as well", "1 h", "10 MiB", DRAFT.digest ?? ""]) {
    expect(screen.getByText(text)).toBeTruthy();
  }
});

test("an approval by keyboard names the digest that was shown", async () => {
  const asked = network({ ...BASE, [APPROVE]: { approved: {}, run: null } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Approve/ });
  await userEvent.keyboard("a{Escape}");
  expect(document.activeElement).toBe(screen.getByRole("button", { name: /Approve/ }));
  await userEvent.keyboard("a");
  expect(screen.getByText("interlock draft approve d_1 --digest sha256:0123456789abcdef")).toBeTruthy();
  expect(asked.some((each) => each.method === "POST")).toBe(false);
  await userEvent.keyboard("{Enter}");
  await waitFor(() =>
    expect(asked.find((each) => each.method === "POST")?.body).toMatchObject({ digest: DRAFT.digest }),
  );
});

test("a rejection names the version that was shown, and why", async () => {
  const asked = network({ ...BASE, [REJECT]: { ...DRAFT, status: "rejected" } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Reject/ });
  await userEvent.keyboard("rnot now, a later day{Enter}");
  const sent = await waitFor(
    () => asked.find((each) => each.method === "POST") ?? Promise.reject(new Error("not yet")),
  );
  expect(sent.body).toEqual({ reason: "not now, a later day" });
  expect(sent.headers.get("if-match")).toBe('"3"');
});

test("what is refused as stale is told in the server's words, and nothing is overwritten", async () => {
  const stale = problem(409, "draft_changed", "The draft is not what you were shown.", "Look at it again.");
  const answers = { ...BASE, [APPROVE]: stale };
  network(answers);
  shown(<DraftDetail id="d_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: /Approve/ }));
  await userEvent.click(screen.getByRole("button", { name: "Approve" }));
  const alert = await screen.findByRole("alert");
  for (const text of [stale.detail, "Look at it again.", "req-77"]) expect(alert.textContent).toContain(text);
  answers["GET /ops/drafts/d_1"] = { ...DRAFT, version: 4, digest: "sha256:ffff" };
  await userEvent.click(screen.getByRole("button", { name: "Show it as it is now" }));
  expect(await screen.findByText("sha256:ffff")).toBeTruthy();
  expect(screen.queryByRole("form")).toBeNull();
});

test("a draft does not change under the eyes of who reads it", async () => {
  const answers = { ...BASE };
  network(answers);
  const { queries } = shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("group", { name: "Prompt" });
  answers["GET /ops/drafts/d_1"] = { ...DRAFT, version: 4, prompt: "Something else", digest: "sha256:ffff" };
  await queries.invalidateQueries();
  expect((await screen.findByRole("status")).textContent).toContain("It has changed since you opened it");
  expect(screen.getByRole("group", { name: "Prompt" }).textContent).toBe(DRAFT.prompt);
  await userEvent.click(screen.getByRole("button", { name: "Show it as it is now" }));
  await waitFor(() => expect(screen.getByRole("group", { name: "Prompt" }).textContent).toBe("Something else"));
});

test.each([
  [ROBOT, "Only a human approves; you are agent:robot."],
  [{ ...ALICE, role: "operator" as const }, "Approving takes the role admin; yours is operator."],
])("who may not approve is not offered it: %o", async (me, sentence) => {
  network(BASE);
  shown(<DraftDetail id="d_1" me={me} />);
  expect(await screen.findByText(sentence)).toBeTruthy();
  await userEvent.keyboard("a");
  expect(screen.queryByRole("button", { name: /Approve/ })).toBeNull();
  expect(screen.queryByRole("form")).toBeNull();
});

test("nobody is offered to approve a draft of their own where four eyes are asked for", async () => {
  network({
    ...BASE,
    "GET /ops/drafts/d_1": { ...DRAFT, author: ALICE.id },
    "GET /ops/defaults": { ...DEFAULTS, four_eyes: true },
  });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect(await screen.findByText(/somebody else has to approve it/)).toBeTruthy();
});

test("why it is approved goes with the approval", async () => {
  const asked = network({ ...BASE, [APPROVE]: { approved: {}, run: null } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: /Approve/ }));
  await userEvent.type(screen.getByLabelText(/Reason/), "looked at twice");
  expect(screen.getByText(/--reason 'looked at twice'$/)).toBeTruthy();
  await userEvent.keyboard("{Enter}");
  const sent = await waitFor(
    () => asked.find((each) => each.method === "POST") ?? Promise.reject(new Error("not yet")),
  );
  expect(sent.body).toEqual({ digest: DRAFT.digest, reason: "looked at twice" });
});

test("what differs is shown field by field, marked by signs and words, and says from what", async () => {
  const lines = [
    { mark: "same" as const, parts: [{ text: "as it was", changed: false }], count: 1 },
    {
      mark: "removed" as const,
      parts: [
        { text: "make ", changed: false },
        { text: "test", changed: true },
      ],
      count: 1,
    },
    {
      mark: "added" as const,
      parts: [
        { text: "make ", changed: false },
        { text: "deploy\u202e", changed: true },
      ],
      count: 1,
    },
    { mark: "skipped" as const, parts: [], count: 7 },
  ];
  network({ ...BASE, [DIFFERENCE]: { ...SAME, fields: [{ name: "command", lines }] } });
  const { container } = shown(<DraftDetail id="d_1" me={ALICE} />);
  const list = await screen.findByRole("list", { name: "Difference of command" });
  expect(list.textContent).toBe(" as it was−removed: make test+added: make deployU+202E7 lines are the same");
  expect(container.querySelector("del")?.textContent).toBe("test");
  expect(container.querySelector("ins")?.textContent).toBe("deployU+202E");
  expect(screen.getByText(SAME.sentence)).toBeTruthy();
  expect(screen.getByText(/The command is not the one that was last approved/)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "To the last approval" }));
  expect(screen.getByText(/edited by human:bob/).textContent).toContain("clearer so");
});

test("the difference of a version that is not on the screen is not shown", async () => {
  network({ ...BASE, [DIFFERENCE]: { ...SAME, version: 4, sentence: "of another one" } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect(await screen.findByText(/has another version by now/)).toBeTruthy();
  expect(screen.queryByText("of another one")).toBeNull();
});

test("nothing that can not be seen hides in what is approved", async () => {
  const terms = { ...DRAFT.terms, command: ["echo", "d\u043ene\u200b"], network: true };
  network({ ...BASE, "GET /ops/drafts/d_1": { ...DRAFT, prompt: "harm\u202eless\u00a0 שלום 👩‍👩‍👧\u0007", terms } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect((await screen.findByRole("group", { name: "Prompt" })).textContent).toBe(
    "harmU+202ElessU+00A0 שלום 👩‍👩‍👧U+0007",
  );
  expect(screen.getByRole("group", { name: "Command" }).textContent).toBe("echo 'dоneU+200B'");
  const warned = screen.getByRole("list", { name: "Do not overlook" }).textContent;
  for (const words of ["reach the network", "prompt holds 3 characters", "command holds 1 character", "о (U+043E)"]) {
    expect(warned).toContain(words);
  }
});

test("a very long prompt is all there, with its length", async () => {
  const prompt = `${"a long line of it\n".repeat(5_600)}the end`;
  network({ ...BASE, "GET /ops/drafts/d_1": { ...DRAFT, prompt } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect((await screen.findByRole("group", { name: "Prompt" })).textContent).toBe(prompt);
  expect(screen.getByText("100,807 characters, 5,601 lines; all of it is here.")).toBeTruthy();
});

test("what somebody else decides meanwhile is said", async () => {
  const answers = { ...BASE };
  network(answers);
  const { queries } = shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Approve/ });
  answers["GET /ops/drafts/d_1"] = { ...DRAFT, version: 3, status: "rejected", decided_by: "human:bob" };
  await queries.invalidateQueries();
  expect((await screen.findByRole("status")).textContent).toContain("It is rejected now, by human:bob.");
});

test("on a phone an approval is two thumbs' work", async () => {
  await page.viewport(390, 780);
  const asked = network({ ...BASE, [APPROVE]: { approved: {}, run: null } });
  const { container } = shown(<DraftDetail id="d_1" me={ALICE} />);
  const open = await screen.findByRole("button", { name: /Approve/ });
  const box = open.getBoundingClientRect();
  expect(box.bottom).toBeLessThanOrEqual(780);
  expect(box.height).toBeGreaterThan(34);
  expect(container.scrollWidth).toBeLessThanOrEqual(390);
  await userEvent.click(open);
  const sure = screen.getByRole("button", { name: "Approve" });
  expect(document.activeElement).toBe(sure); // no keyboard slides over it
  expect(sure.getBoundingClientRect().bottom).toBeLessThanOrEqual(780);
  await userEvent.click(sure);
  await waitFor(() => expect(asked.some((each) => each.method === "POST")).toBe(true));
  await page.viewport(1280, 860);
});

test("who reads what it prints, where it may run, what it may use and when it is done stand in the review", async () => {
  const argv = ["claude", "-p", "say it's <b>done</b>", "--output-format", "stream-json"];
  const limits = { ...DRAFT.terms.limits, tokens: 1_000_000, cost_microusd: 2_500_000 };
  const terms = { ...DRAFT.terms, agent: "claude_code", command: argv, needs: ["gpu", "os=\u202e"], limits };
  network({ ...BASE, "GET /ops/drafts/d_1": { ...DRAFT, terms: { ...terms, rung: "checked" } } });
  const { container } = shown(<DraftDetail id="d_1" me={ALICE} />);
  const article = await screen.findByRole("article", { name: "Draft" });
  expect(screen.getByRole("group", { name: "Command" }).textContent).toBe(
    "claude -p 'say it'\\''s <b>done</b>' --output-format stream-json",
  );
  for (const [name, text] of [
    ["agent", "claude_code"],
    ["needs of a node", "gpu 'os=U+202E'"],
    ["done when", "its checks passed on exactly the result (checked)"],
    ["tokens up to", "1,000,000 tokens"],
    ["cost up to", "2.50 USD"],
  ] as const) {
    expect(screen.getByText(name).parentElement?.textContent).toBe(name + text);
  }
  expect(article.textContent).not.toContain("no limit");
  expect(container.querySelector("b")).toBeNull();
});

test("what is not limited, and what needs no proof, is said before it is approved", async () => {
  const terms = { ...DRAFT.terms, rung: "self_reported" as const };
  network({ ...BASE, "GET /ops/drafts/d_1": { ...DRAFT, terms } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect((await screen.findByText("tokens up to")).parentElement?.textContent).toBe("tokens up tono limit");
  expect(screen.getByText("cost up to").parentElement?.textContent).toBe("cost up tono limit");
  expect(screen.getByRole("list", { name: "Do not overlook" }).textContent).toContain("Its word is enough");
});
