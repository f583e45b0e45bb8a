import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, DEFAULTS, DRAFT, network, problem, ROBOT, shown } from "../../testing";
import { DraftDetail } from "./DraftDetail";

const BASE = { "GET /ops/drafts/d_1": DRAFT, "GET /ops/defaults": DEFAULTS };
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
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toMatchObject({ digest: DRAFT.digest }));
});

test("a rejection names the version that was shown, and why", async () => {
  const asked = network({ ...BASE, [REJECT]: { ...DRAFT, status: "rejected" } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Reject/ });
  await userEvent.keyboard("rnot now, a later day{Enter}");
  const sent = await waitFor(() => asked.find((each) => each.method === "POST") ?? Promise.reject(new Error("not yet")));
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
  network({ ...BASE, "GET /ops/drafts/d_1": { ...DRAFT, author: ALICE.id }, "GET /ops/defaults": { ...DEFAULTS, four_eyes: true } });
  shown(<DraftDetail id="d_1" me={ALICE} />);
  expect(await screen.findByText(/somebody else has to approve it/)).toBeTruthy();
});

test("there is no way from a draft to a run", async () => {
  const asked = network({ ...BASE, [APPROVE]: { approved: {}, run: null }, [REJECT]: DRAFT });
  const { container } = shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Approve/ });
  for (const key of "abcdefghijklmnopqrstuvwxyz") await userEvent.keyboard(`${key}{Escape}`);
  for (const each of container.querySelectorAll<HTMLElement>("button, a")) await userEvent.click(each);
  expect(asked.every((each) => !each.path.startsWith("/ops/runs"))).toBe(true);
});
