import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, shown } from "../../testing";
import type { Line, RunInFull } from "../../types";
import { RunDetail } from "./RunDetail";

function line(number: number, msg: string): Line {
  return { line: number, ts: "2026-01-01T00:00:01.000Z", level: "INFO", source: "stdout", msg, correlation_id: null };
}
const RUN: RunInFull = {
  id: "r_1",
  status: "error",
  reason: "agent_failed",
  message: "the agent ended with exit code 3",
  approved_id: "a_1",
  item_id: "ORCH-001",
  attempt: 1,
  created_at: "2026-01-01T00:00:00.000Z",
  created_by: "human:alice",
  started_at: "2026-01-01T00:00:00.000Z",
  ended_at: "2026-01-01T00:00:02.000Z",
  correlation_id: null,
  result: { exit_code: 3, containment: "namespaces" },
  steps: [
    { name: "prepare", fence: 1, started_at: "", ended_at: "", duration_ms: 1_500, output: {} },
    { name: "agent", fence: 1, started_at: "", ended_at: null, duration_ms: null, output: null },
  ],
  log: [line(1, "<img src=x onerror=alert(1)>")],
};
const RETRY = "POST /ops/runs/r_1/retry";
const CANCEL = "POST /ops/runs/r_1/cancel";

test("a run says how it stands, why, its steps and its log", async () => {
  network({ "GET /ops/runs/r_1": RUN });
  const { container } = shown(<RunDetail id="r_1" me={ALICE} />);
  expect(await screen.findByText(/the agent ended with exit code 3/)).toBeTruthy();
  for (const text of ["agent_failed", "prepare", "1.5 s", "under way", "namespaces", "<img src=x onerror=alert(1)>"]) {
    expect(screen.getByText(text)).toBeTruthy();
  }
  expect(container.querySelector("img")).toBeNull();
});

test("more lines come behind those that are there", async () => {
  const asked = network({ "GET /ops/runs/r_1": RUN, "GET /ops/runs/r_1/log": [line(2, "the second")] });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Look for more lines" }));
  expect(await screen.findByText("the second")).toBeTruthy();
  expect(screen.getAllByRole("list", { name: "Log lines" })[0]?.children.length).toBe(2);
  expect(asked.at(-1)?.path).toBe("/ops/runs/r_1/log");
});

test("a run in error can be done anew, and a refusal is told", async () => {
  network({ "GET /ops/runs/r_1": RUN, [RETRY]: problem(409, "approval_expired", "The approval has expired.") });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Retry" }));
  expect(screen.getByText("interlock run retry r_1")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  expect((await screen.findByRole("alert")).textContent).toContain("The approval has expired.");
});

test("a run that is under way can be cancelled, with a reason", async () => {
  const asked = network({ "GET /ops/runs/r_1": { ...RUN, status: "running" }, [CANCEL]: RUN });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await userEvent.keyboard("it's late");
  expect(screen.getByText("interlock run cancel r_1 --reason 'it'\\''s late'")).toBeTruthy();
  await userEvent.keyboard("{Enter}");
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ reason: "it's late" }));
});

test.each(["done", "cancelled"] as const)("a run that is %s offers no verb", async (status) => {
  network({ "GET /ops/runs/r_1": { ...RUN, status } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await screen.findByText("ORCH-001");
  expect(screen.queryByRole("button", { name: /Retry|Cancel/ })).toBeNull();
});

test("who may only look is offered no verb", async () => {
  network({ "GET /ops/runs/r_1": RUN });
  shown(<RunDetail id="r_1" me={{ ...ALICE, role: "actions" }} />);
  await screen.findByText("ORCH-001");
  expect(screen.queryByRole("button", { name: "Retry" })).toBeNull();
});
