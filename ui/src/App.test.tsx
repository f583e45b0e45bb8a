import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { App } from "./App";
import { ALICE, DRAFT, network, problem, WHOLE } from "./testing";

/** The browser's own follower of a stream, with the server's part played by the test. */
class Stream extends EventTarget {
  static readonly CLOSED = 2;
  static last: Stream | undefined;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    Stream.last = this;
  }
  close() {
    this.readyState = Stream.CLOSED;
  }
}

const SECOND = { ...DRAFT, id: "d_2", prompt: "The second one" };
const answers: Record<string, unknown> = {};

beforeEach(() => {
  for (const name of Object.keys(answers)) delete answers[name];
  Object.assign(answers, {
    ...WHOLE,
    "GET /ops/drafts": [DRAFT, SECOND],
    "GET /ops/drafts/d_2": SECOND,
  });
  vi.stubGlobal("EventSource", Stream);
  history.replaceState(null, "", "/review");
});

test("j and k walk through the drafts", async () => {
  network(answers);
  render(<App />);
  await screen.findByText("The second one");
  await userEvent.keyboard("j");
  expect(location.pathname).toBe("/review/d_1");
  await userEvent.keyboard("j");
  expect(location.pathname).toBe("/review/d_2");
  await userEvent.keyboard("k");
  expect(location.pathname).toBe("/review/d_1");
});

test("an event renews what it has changed, and nothing else", async () => {
  const asked = network(answers);
  render(<App />);
  await screen.findByText("The second one");
  const before = asked.length;
  answers["GET /ops/drafts"] = [SECOND];
  act(() => void Stream.last?.dispatchEvent(new Event("draft.rejected")));
  await waitFor(() => expect(screen.queryByText(DRAFT.prompt)).toBeNull());
  expect(asked.slice(before).map((each) => each.path)).toEqual(["/ops/drafts"]);
});

test("a lost connection is said, and everything is renewed when it is back", async () => {
  const asked = network(answers);
  render(<App />);
  await screen.findByText("The second one");
  act(() => Stream.last?.onerror?.());
  expect(await screen.findByText(/Not connected/)).toBeTruthy();
  const before = asked.length;
  act(() => Stream.last?.onopen?.());
  await waitFor(() => expect(screen.queryByText(/Not connected/)).toBeNull());
  await waitFor(() => expect(asked.slice(before).map((each) => each.path)).toContain("/ops/drafts"));
});

test("a session that ends amid a rejection costs no word of the reason", async () => {
  network(answers);
  render(<App />);
  await screen.findByText("The second one");
  await userEvent.keyboard("j");
  await screen.findByRole("button", { name: /Reject/ });
  await userEvent.keyboard("rwell thought over");
  answers["POST /ops/drafts/d_1/reject"] = problem(401, "session_ended", "The session has ended.");
  await userEvent.keyboard("{Enter}");
  answers["POST /ops/session"] = ALICE;
  await userEvent.type(await screen.findByLabelText("Token"), "ilk_again{Enter}");
  await waitFor(() => expect(screen.queryByLabelText("Token")).toBeNull());
  expect(screen.getByLabelText<HTMLInputElement>("Reason").value).toBe("well thought over");
  expect(screen.getByLabelText("Reason")).toHaveFocus();
});

test("panic is told to everybody", async () => {
  answers["GET /ops/panic"] = { id: "panic", status: "on", panic_mode: true, by: "human:bob", reason: "a leak" };
  network(answers);
  render(<App />);
  expect(await screen.findByText(/Panic mode is on: nothing begins. human:bob: a leak/)).toBeTruthy();
});

test("the two halves that the seed names are there, each with its screens", async () => {
  network(answers);
  render(<App />);
  const parts = await screen.findByRole("navigation", { name: "Parts" });
  expect([...parts.querySelectorAll("a")].map((each) => each.textContent)).toEqual(["Maintenance", "OPS"]);
  expect(screen.getByRole("navigation", { name: "OPS" }).textContent).toContain("Review");
  await userEvent.click(screen.getByRole("link", { name: "Maintenance" }));
  expect(screen.getByRole("navigation", { name: "Maintenance" }).textContent).toContain("Access");
});

test("a browser that says it is offline still asks: the server may be on the same machine", async () => {
  network(answers);
  render(<App />);
  await screen.findByText("The second one");
  globalThis.dispatchEvent(new Event("offline"));
  try {
    answers["GET /ops/drafts"] = [SECOND];
    act(() => void Stream.last?.dispatchEvent(new Event("draft.rejected")));
    await waitFor(() => expect(screen.queryByText(DRAFT.prompt)).toBeNull());
  } finally {
    globalThis.dispatchEvent(new Event("online"));
  }
});

test("a verb pressed while offline fails at once, and is not done later behind one's back", async () => {
  const asked = network({ ...answers, "POST /ops/drafts/d_1/approve": new TypeError("Failed to fetch") });
  history.replaceState(null, "", "/review/d_1");
  render(<App />);
  await userEvent.click(await screen.findByRole("button", { name: "Approve" }));
  globalThis.dispatchEvent(new Event("offline"));
  try {
    await userEvent.click(screen.getByRole("button", { name: "Approve" }));
    expect(await screen.findByText("The server can not be reached.")).toBeVisible();
  } finally {
    globalThis.dispatchEvent(new Event("online"));
  }
  expect(asked.filter(({ method }) => method === "POST")).toHaveLength(1);
});
