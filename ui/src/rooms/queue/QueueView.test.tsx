import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, problem } from "../../testing";
import { EVIL, item, PAUSED, queue, STANDING, server } from "./testing.queue";

test("what stands in a task, an owner or a reason is text", async () => {
  server({
    "GET /ops/queue/items": () => [item(1, { owner_session: EVIL, status: EVIL, priority: EVIL })],
    "GET /ops/queue/status": () => ({ ...STANDING, paused: PAUSED }),
  });
  const { container } = queue();
  expect((await screen.findAllByText(EVIL)).length).toBe(3);
  expect(await screen.findByText(/Paused by human:bob/)).toBeTruthy();
  expect(container.querySelector("img")).toBeNull();
});

test("what can not be seen in a task, or turns its order, is named in the list and in the item", async () => {
  const told = "<U+202E>gnp.exe<U+202C> a<U+200B>b";
  const one = item(3, { task: "\u202egnp.exe\u202c a\u200bb", notes: "\u202egnp" });
  server({ "GET /ops/queue/items": () => [one], "GET /ops/queue/items/ORCH-3": () => one });
  const { container } = queue("/queue/ORCH-3");
  expect(await screen.findByRole("group", { name: "Task" })).toHaveTextContent(told);
  expect(await screen.findByTitle(told)).toBeVisible();
  expect(container.textContent).not.toMatch(/[\u200b\u202a-\u202e]/);
});

test("an item says why it is not running, and its verbs act on what was seen", async () => {
  const { asked } = server({
    "POST /ops/queue/items/ORCH-3/cancel": () => problem(409, "item_state_conflict", "ORCH-3 changed"),
  });
  queue("/queue/ORCH-3");
  expect(await screen.findByText("2 items go first")).toBeTruthy();
  expect(screen.getByRole("heading", { name: "Why it is not running" })).toBeTruthy();
  const names = screen.getByRole("article").querySelectorAll(".verb");
  expect([...names].map((each) => each.textContent)).toEqual(["Cancel", "Replan", "Reprioritise", "Snooze"]);
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  await userEvent.type(screen.getByLabelText("Reason"), "no");
  expect(screen.getByText("interlock queue cancel ORCH-3 --reason no")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  expect(await screen.findByText("ORCH-3 changed")).toBeTruthy();
  expect(asked.find(({ method }) => method === "POST")?.body).toEqual({
    reason: "no",
    seen: { status: "PENDING", fence: 4 },
  });
});

test.each([
  [
    item(3, { status: "IN_PROGRESS", lease_until: "2999-01-01T00:00:00.000Z" }),
    ["Cancel", "Replan", "Reprioritise", "Release"],
  ],
  [
    item(3, { status: "IN_PROGRESS", lease_until: "2020-01-01T00:00:00.000Z" }),
    ["Cancel", "Retry", "Replan", "Reprioritise", "Release"],
  ],
  [item(3, { status: "FAILED" }), ["Retry", "Replan", "Reprioritise"]],
  [item(3, { status: "FAILED", attempt_count: 3 }), ["Replan", "Reprioritise"]],
  [item(3, { status: "DONE" }), ["Replan"]],
  [item(3, { waits_for: "approval" }), ["Cancel", "Replan", "Reprioritise"]],
])("only what an item's state allows is offered", async (one, verbs) => {
  server({ "GET /ops/queue/items/ORCH-3": () => one });
  queue("/queue/ORCH-3");
  const detail = within(await screen.findByRole("article"));
  expect(detail.getAllByRole("button").map((each) => each.textContent)).toEqual(verbs);
});

test("who may only look is offered nothing that moves", async () => {
  server({ "GET /ops/queue/limits": () => [{ key: "deploy", most: 1, held: 1, pending: 4 }] });
  queue("/queue/ORCH-3?status=FAILED", { ...ALICE, role: "actions" });
  await screen.findByText("2 items go first");
  expect(screen.queryAllByRole("checkbox", { name: /^Select/ })).toEqual([]);
  for (const name of ["Pause", "Cancel", "Replan", "cancel"]) expect(screen.queryByRole("button", { name })).toBeNull();
  expect(screen.getByText(/takes the role operator/)).toBeTruthy();
});

test("the queue is paused with a reason and a time, and resumed", async () => {
  let standing = STANDING;
  const { asked } = server({
    "GET /ops/queue/status": () => standing,
    "PUT /ops/queue/pause": () => ({ status: "paused", by: "human:alice", reason: "night", until: null }),
    "DELETE /ops/queue/pause": () => ({ status: "running", was_paused: true }),
  });
  queue();
  await userEvent.click(await screen.findByRole("button", { name: "Pause" }));
  await userEvent.selectOptions(screen.getByRole("combobox"), "1h");
  await userEvent.type(screen.getByLabelText("Reason"), "night");
  expect(screen.getByText("interlock queue pause --reason night --for 1h")).toBeTruthy();
  standing = { ...STANDING, paused: PAUSED };
  const now = Date.now();
  await userEvent.click(screen.getByRole("button", { name: "Pause" }));
  await userEvent.click(await screen.findByRole("button", { name: "Resume" }));
  standing = STANDING;
  await userEvent.click(screen.getByRole("button", { name: "Resume" }));
  expect(await screen.findByRole("button", { name: "Pause" })).toBeTruthy();
  const body = asked.find(({ method }) => method === "PUT")?.body as { reason: string; until_ms: number };
  expect(body.reason).toBe("night");
  expect(Math.abs(body.until_ms - now - 3_600_000)).toBeLessThan(5_000);
});

test("workers say who holds what, limits how far they are used, figures have a table beside them", async () => {
  const point = {
    at: "2026-01-01T00:00:00.000Z",
    added: 3,
    claimed: 2,
    completed: 1,
    failed: 1,
    retried: 0,
    cancelled: 0,
  };
  const times = { wait_p50_ms: 1_500, wait_p95_ms: 2_500, work_p50_ms: null, work_p95_ms: null };
  const backlog = { PENDING: 42, IN_PROGRESS: 1, BLOCKED: 0, FAILED: 1 };
  server({
    "GET /ops/queue/workers": () => [
      { owner_session: EVIL, items: 2, first_id: "ORCH-1", since: null, lease_until: null, host: null, pid: null },
    ],
    "GET /ops/queue/limits": () => [{ key: EVIL, most: 2, held: 1, pending: 4 }],
    "GET /ops/queue/history": () => ({ from: point.at, step_seconds: 60, points: [{ ...point, ...times, backlog }] }),
  });
  const { container } = queue("/queue?part=workers");
  const link = await screen.findByRole("link", { name: "2 items" });
  expect(link.getAttribute("href")).toBe(
    `/queue?status=IN_PROGRESS&owner=${new URLSearchParams({ a: EVIL }).toString().slice(2)}`,
  );
  await userEvent.click(screen.getByRole("link", { name: "limits" }));
  expect(await screen.findByText("1 of 2 under way, 4 wait")).toBeTruthy();
  await userEvent.click(screen.getByRole("link", { name: "figures" }));
  expect(await screen.findByText("50.0 %")).toBeTruthy();
  await userEvent.click(await screen.findByText("Backlog as a table"));
  expect(screen.getByRole("cell", { name: "42" })).toBeTruthy();
  expect(screen.getByRole("img", { name: /Waiting over time.*median 1.5, 95th percentile 2.5/ })).toBeTruthy();
  expect(container.querySelector("canvas")?.width).toBeGreaterThan(100);
  expect(container.querySelector("img")).toBeNull();
});

test("an item says what it needs, where it is, and that it has waited long", async () => {
  const placed = { needs: ["gpu", EVIL], node_id: "n_1", repository: EVIL, agent: "codex", aged: 2, waits_for: "ci" };
  server({ "GET /ops/queue/items/ORCH-3": () => item(3, placed) });
  const { container } = queue("/queue/ORCH-3");
  expect(await screen.findByRole("link", { name: "n_1" })).toHaveAttribute("href", "/nodes/n_1");
  for (const text of [`gpu, ${EVIL}`, "codex", "counts 2 priorities higher", "CI to report on exactly its result"]) {
    expect(screen.getByText(text)).toBeVisible();
  }
  expect(container.querySelector("img")).toBeNull();
});
