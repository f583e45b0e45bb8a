import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { App } from "../../App";
import { ALICE, DRAFT, network, problem, WHOLE } from "../../testing";

class Stream extends EventTarget {
  static readonly CLOSED = 2;
  close() {}
}
const ENDED = problem(401, "session_ended", "The session has ended.");
const answers: Record<string, unknown> = {};

beforeEach(() => {
  for (const name of Object.keys(answers)) delete answers[name];
  Object.assign(answers, {
    ...WHOLE,
    "GET /ops/drafts/d_1/versions": [],
    "POST /ops/session": ALICE,
  });
  vi.stubGlobal("EventSource", Stream);
});

async function logInAgain() {
  await userEvent.type(await screen.findByLabelText("Token"), "ilk_again{Enter}");
  await waitFor(() => expect(screen.queryByLabelText("Token")).toBeNull());
}

test("a session that ends amid an approval costs nothing, and the same digest is approved after it", async () => {
  history.replaceState(null, "", "/review/d_1");
  const asked = network(answers);
  render(<App />);
  await userEvent.click(await screen.findByRole("button", { name: /Approve/ }));
  await userEvent.type(screen.getByLabelText(/Reason/), "looked at twice");
  answers["POST /ops/drafts/d_1/approve"] = ENDED;
  await userEvent.keyboard("{Enter}");
  await logInAgain();
  expect(screen.getByLabelText<HTMLInputElement>(/Reason/).value).toBe("looked at twice");
  answers["POST /ops/drafts/d_1/approve"] = { approved: {}, run: null };
  await userEvent.click(screen.getByRole("button", { name: "Approve" }));
  await waitFor(() => expect(screen.queryByLabelText(/Reason/)).toBeNull());
  const sent = asked.filter((each) => each.path.endsWith("/approve"));
  expect(sent.map((each) => each.body)).toEqual(
    [1, 2].map(() => ({ digest: DRAFT.digest, reason: "looked at twice" })),
  );
});

test("a session that ends amid an edit keeps what was typed", async () => {
  history.replaceState(null, "", "/review/d_1");
  network(answers);
  render(<App />);
  await userEvent.click(await screen.findByRole("button", { name: /^Edit/ }));
  await userEvent.type(screen.getByLabelText("Prompt"), " and mop");
  answers["PUT /ops/drafts/d_1"] = ENDED;
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  await logInAgain();
  expect(screen.getByLabelText<HTMLInputElement>("Prompt").value).toBe(`${DRAFT.prompt} and mop`);
});

test("a session that ends in the factory keeps every field, and one draft is made after it", async () => {
  history.replaceState(null, "", "/factory");
  const asked = network(answers);
  render(<App />);
  await userEvent.type(await screen.findByLabelText("Prompt"), "sweep well");
  await userEvent.type(screen.getByLabelText("Agent command"), "make sweep");
  answers["POST /ops/drafts"] = ENDED;
  await userEvent.click(screen.getByRole("button", { name: "Create draft" }));
  await logInAgain();
  expect(screen.getByLabelText<HTMLInputElement>("Prompt").value).toBe("sweep well");
  expect(screen.getByLabelText<HTMLInputElement>("Agent command").value).toBe("make sweep");
  answers["POST /ops/drafts"] = DRAFT;
  await userEvent.click(screen.getByRole("button", { name: "Create draft" }));
  await waitFor(() => expect(location.pathname).toBe("/review/d_1"));
  expect(asked.filter((each) => each.method === "POST" && each.path === "/ops/drafts").length).toBe(2);
});

test("who has no token is told where one comes from", async () => {
  answers["GET /ops/me"] = ENDED;
  network(answers);
  render(<App />);
  await userEvent.click(await screen.findByText("I have no token"));
  expect(screen.getByText("interlock token create --name me --kind human --role admin")).toBeTruthy();
  expect(screen.getByText(/Approving takes a human's token/)).toBeTruthy();
});
