import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import type { Panic, ServerStatus } from "../../types";
import MaintenanceView from "./MaintenanceView";

const STATUS: ServerStatus = {
  service_status: "RUNNING (Dashboard)",
  version: "1.2.3",
  uptime_seconds: 7_500,
  workspace: "/srv/work",
  now: "2026-01-01T00:00:00.000Z",
  database: "ok",
  queue: { PENDING: 3, IN_PROGRESS: 2, FAILED: 1 },
  queue_paused: false,
  panic_mode: false,
  ledger: { entries: 120, head_size: 100, head_signed_at: "2026-01-01T00:00:00.000Z", exported: 117, behind: 3 },
  tasks: [
    { name: "worker", alive: true },
    { name: "alerter", alive: false },
  ],
};
const OFF: Panic = { id: "panic", status: "off", panic_mode: false };
const ON: Panic = {
  id: "panic",
  status: "on",
  panic_mode: true,
  by: "human:bob",
  reason: "a rogue agent",
  since: "2026-01-01T00:00:00.000Z",
};

function maintenance(answers: Record<string, unknown>, me = ALICE) {
  const asked = network({ "GET /ui/status": STATUS, "GET /ops/panic": OFF, ...answers });
  shown(<MaintenanceView id={undefined} me={me} />);
  return asked;
}

test("what is up, how far the ledger is signed and what is behind stands in tiles", async () => {
  maintenance({});
  const tile = async (name: string) => (await screen.findByRole("region", { name })).textContent ?? "";
  expect(await tile("Server")).toContain("version 1.2.3 · up for 2 h");
  expect(await tile("Database")).toContain("/srv/work");
  expect(await tile("Queue")).toContain("3 wait · 2 under way · 1 failed");
  expect(await tile("Ledger")).toMatch(/120 entrieshead over 100 signed .*; 20 came since/);
  expect(await tile("Windows")).toContain("3 behind");
  expect(await tile("Beside the server")).toMatch(/running worker.*error alerter.*started anew/);
});

test("while the database is away nothing is made up", async () => {
  maintenance({
    "GET /ui/status": {
      ...STATUS,
      service_status: "DEGRADED (Dashboard)",
      database: "database_away",
      queue: null,
      queue_paused: null,
      ledger: null,
      tasks: [],
    },
  });
  expect((await screen.findByRole("region", { name: "Server" })).textContent).toContain("DEGRADED");
  expect(screen.getByRole("region", { name: "Database" }).textContent).toContain("database_away");
  for (const name of ["Queue", "Ledger"]) {
    expect(screen.getByRole("region", { name }).textContent).toContain("Not known");
  }
  expect(screen.getByText("interlock worker")).toBeTruthy();
});

test("panic is raised in two steps, with what it does, its command and its reason", async () => {
  const answers = { "PUT /ops/panic": { ...ON, stopped_runs: [] } };
  const asked = maintenance(answers);
  await userEvent.click(await screen.findByRole("button", { name: "Panic on" }));
  const form = within(screen.getByRole("form", { name: "Panic on" }));
  expect(form.getByText(/Nothing new begins, on no door/)).toBeTruthy();
  expect(asked.some((each) => each.method === "PUT")).toBe(false);
  await userEvent.type(form.getByLabelText("Reason"), "look at it");
  await userEvent.click(form.getByLabelText("Cancel what runs, too"));
  expect(form.getByText("interlock panic on --reason 'look at it' --stop-runs")).toBeTruthy();
  await userEvent.click(form.getByRole("button", { name: "Panic on" }));
  const sent = await waitFor(() => asked.find((each) => each.method === "PUT") ?? Promise.reject(new Error("not yet")));
  expect(sent.body).toEqual({ reason: "look at it", stop_runs: true });
  await waitFor(() => expect(screen.queryByRole("form")).toBeNull());
});

test("it says who froze everything and why, and a human admin releases it", async () => {
  const asked = maintenance({ "GET /ops/panic": ON, "POST /ops/panic/release": OFF });
  expect((await screen.findByText("human:bob")).closest("p")?.textContent).toContain("a rogue agent");
  expect(screen.queryByRole("button", { name: "Panic on" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Release" }));
  await userEvent.keyboard("it was nothing{Enter}");
  const sent = await waitFor(
    () => asked.find((each) => each.method === "POST") ?? Promise.reject(new Error("not yet")),
  );
  expect([sent.path, sent.body]).toEqual(["/ops/panic/release", { reason: "it was nothing" }]);
});

test.each([
  [ROBOT, /A human with the role admin releases it; you are agent:robot/],
  [{ ...ALICE, role: "operator" as const }, /A human with the role admin releases it; you are human:alice, operator/],
])("who may not release it is not offered it", async (me, sentence) => {
  maintenance({ "GET /ops/panic": ON }, me);
  expect(await screen.findByText(sentence)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Release" })).toBeNull();
});

test("who only reads is not offered to raise it", async () => {
  maintenance({}, { ...ALICE, role: "actions" });
  expect(await screen.findByText("Raising it takes the role operator; yours is actions.")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Panic on" })).toBeNull();
});

test("what is refused is told in the server's words, and the reason stays", async () => {
  maintenance({ "PUT /ops/panic": problem(409, "panic_on", "Panic mode is on already.") });
  await userEvent.click(await screen.findByRole("button", { name: "Panic on" }));
  await userEvent.keyboard("look{Enter}");
  expect((await screen.findByRole("alert")).textContent).toContain("Panic mode is on already.");
  expect((screen.getByLabelText("Reason") as HTMLInputElement).value).toBe("look");
});
