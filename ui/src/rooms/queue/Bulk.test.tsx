import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { problem } from "../../testing";
import type { Bulk } from "../../types";
import { BULK, EVIL, queue, server } from "./testing.queue";

test("many are shown first, then moved, and how far it is is told", async () => {
  let bulk: Bulk = BULK;
  const { asked } = server({
    "GET /ops/queue/count": () => ({ items: 5_000, by_status: { FAILED: 5_000 } }),
    "POST /ops/queue/bulk": () => bulk,
    "POST /ops/queue/bulk/qb_1/run": () => bulk,
    "GET /ops/queue/bulk/qb_1": () => bulk,
  });
  const { queries } = queue("/queue?status=FAILED");
  await userEvent.click(await screen.findByRole("button", { name: "Pick all 5,000 that match" }));
  await userEvent.click(screen.getByRole("button", { name: "cancel" }));
  await userEvent.type(screen.getByLabelText("Reason"), "it's over");
  expect(screen.getByText(`interlock queue cancel --status FAILED --reason 'it'\\''s over' --yes`)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Preview" }));
  expect(await screen.findByText(/would become BLOCKED/)).toBeTruthy();
  expect(asked.find(({ url, method }) => method === "POST" && url.pathname === "/ops/queue/bulk")?.body).toEqual({
    verb: "cancel",
    reason: "it's over",
    which: { status: "FAILED" },
  });
  expect(asked.some(({ url }) => url.pathname.endsWith("/run"))).toBe(false);
  bulk = { ...BULK, status: "running", done: 1_500, changed: 1_499, refused: { item_state_conflict: 1 } };
  await userEvent.click(screen.getByRole("button", { name: "cancel 5,000 items" }));
  expect((await screen.findByRole("progressbar")).getAttribute("value")).toBe("1500");
  expect(screen.getByRole("status").textContent).toContain("1,499 changed, 1 refused, 3,500 to go");
  bulk = {
    ...bulk,
    status: "done",
    done: 5_000,
    changed: 4_999,
    examples: [`${EVIL} changed`],
    ended_at: "2026-01-01",
  };
  await act(() => queries.invalidateQueries({ queryKey: ["queue"] }));
  await waitFor(() =>
    expect(screen.getByRole("status").textContent).toContain("cancel is done: 4,999 changed, 1 refused."),
  );
  expect(screen.getByText(`${EVIL} changed`)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Close" }));
  await waitFor(() => expect(screen.queryByText(/is done/)).toBeNull());
});

test("a change of the reason after the preview asks for another preview", async () => {
  server({ "POST /ops/queue/bulk": () => BULK });
  queue("/queue?status=FAILED");
  await userEvent.click(await screen.findByRole("checkbox", { name: "Select ORCH-2" }));
  await userEvent.click(screen.getByRole("button", { name: "retry" }));
  await userEvent.click(screen.getByRole("button", { name: "Preview" }));
  await screen.findByText(/would become BLOCKED/);
  await userEvent.type(screen.getByLabelText("Reason"), "x");
  expect(screen.queryByText(/would become BLOCKED/)).toBeNull();
  expect(screen.getByRole("button", { name: "Preview" })).toBeTruthy();
});

test("a failure in the middle is told with what was done, in whichever page is open", async () => {
  const failed: Bulk = {
    ...BULK,
    status: "failed",
    done: 700,
    changed: 700,
    message: "panic mode is on",
    ended_at: "2026-01-01",
  };
  server({ "GET /ops/queue/bulk/qb_1": () => failed });
  queue("/queue?bulk=qb_1");
  const told = await screen.findByRole("alert");
  expect(told.textContent).toContain("could not go on: 700 changed, 4,300 are as they were. panic mode is on.");
  expect(told.textContent).toContain("repeated safely");
});

test("a bulk that the server does not know any more is told in its words", async () => {
  server({ "GET /ops/queue/bulk/qb_1": () => problem(404, "bulk_not_found", "there is no bulk qb_1", "ask again") });
  queue("/queue?bulk=qb_1");
  expect(await screen.findByText("there is no bulk qb_1")).toBeTruthy();
});
