import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, LIMITS, network, problem, ROBOT, shown } from "../../testing";
import type { Approved } from "../../types";
import ApprovedView from "./ApprovedView";

const RECORD: Approved = {
  id: "a_1",
  draft_id: "d_1",
  digest: "sha256:0123456789abcdef",
  prompt: "Say <script>alert(1)</script>",
  context: {},
  provider: null,
  content: "",
  terms: {
    schema: "interlock-approval/v1",
    prompt: "",
    content: null,
    context: "",
    agent: "command",
    command: ["sh", "-c", "echo 'it works'"],
    repository: "/srv/code",
    base_commit: null,
    checks: [],
    environment: [],
    network: false,
    limits: { ...LIMITS, wall_clock_seconds: 9 },
  },
  approved_at: "2026-01-01T00:00:00.000Z",
  approved_by: "human:alice",
  expires_at: null,
  attestation: { digest: "", keyid: "", predicate_type: "", signed_by: "principal" },
  revoked_at: null,
  revoked_by: null,
  revoke_reason: null,
};
const RUNS = "GET /ops/runs";
const CREATE = "POST /ops/runs";
const REVOKE = "POST /ops/approved/a_1/revoke";
const world = (record: Approved = RECORD, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  "GET /ops/approved": [record],
  "GET /ops/approved/a_1": record,
  "GET /ops/panic": { panic_mode: false },
  [RUNS]: [],
  ...more,
});
const keysOf = (asked: ReturnType<typeof network>) =>
  asked.filter((each) => each.method === "POST").map((each) => each.headers.get("idempotency-key"));

test("a record says exactly what may run, who agreed, and that nothing came of it yet", async () => {
  network(world());
  const { container } = shown(<ApprovedView id="a_1" me={ALICE} />);
  expect(await screen.findByText("sha256:0123456789abcdef")).toBeTruthy();
  expect(screen.getByRole("group", { name: "Command" }).textContent).toContain("it works");
  for (const text of ["never", "None yet. Nothing starts by itself."]) {
    expect(await screen.findByText(text)).toBeTruthy();
  }
  expect(container.querySelector("script")).toBeNull();
});

test("a run is started in two steps, with a key of its own and the command beside it", async () => {
  const asked = network(world(RECORD, { [CREATE]: { id: "r_1" } }));
  shown(<ApprovedView id="a_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Run" }));
  expect(keysOf(asked)).toEqual([]);
  expect(screen.getByText("interlock run create a_1")).toBeTruthy();
  await userEvent.click(screen.getByRole("radio", { name: "P0" }));
  expect(screen.getByText("interlock run create a_1 --priority P0")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  await waitFor(() => expect(keysOf(asked).length).toBe(1));
  expect(keysOf(asked)[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(asked.find((each) => each.method === "POST")?.body).toEqual({ approved_id: "a_1", priority: "P0" });
});

test("a double click makes one request, and another form has another key", async () => {
  const asked = network(world(RECORD, { [CREATE]: problem(409, "conflict", "Not now.") }));
  shown(<ApprovedView id="a_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Run" }));
  await userEvent.dblClick(screen.getByRole("button", { name: "Run" }));
  await screen.findByText("Not now.");
  expect(new Set(keysOf(asked)).size).toBe(1);
  await userEvent.click(screen.getByRole("button", { name: "Back" }));
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  await waitFor(() => expect(new Set(keysOf(asked)).size).toBe(2));
});

test("where the answer was lost, the same key asks again, also from a form that was opened anew", async () => {
  const answers = world(RECORD, { [CREATE]: new TypeError("network") });
  const asked = network(answers);
  shown(<ApprovedView id="a_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Run" }));
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  await screen.findByText("The server can not be reached.");
  await userEvent.click(screen.getByRole("button", { name: "Back" }));
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  answers[CREATE] = { id: "r_1" };
  await userEvent.click(screen.getByRole("button", { name: "Run" }));
  await waitFor(() => expect(keysOf(asked).length).toBe(2));
  expect(new Set(keysOf(asked)).size).toBe(1);
});

test("an approval is taken back with a reason", async () => {
  const asked = network(world(RECORD, { [REVOKE]: { ...RECORD, revoked_at: RECORD.approved_at } }));
  shown(<ApprovedView id="a_1" me={ALICE} />);
  await screen.findByRole("button", { name: /Revoke/ });
  await userEvent.keyboard("r");
  await userEvent.keyboard("too wide");
  expect(screen.getByText("interlock approved revoke a_1 --reason 'too wide'")).toBeTruthy();
  await userEvent.keyboard("{Enter}");
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ reason: "too wide" }));
});

test.each([
  ["expired", { expires_at: "2026-01-01T00:00:01.000Z" }],
  ["revoked", { revoked_at: "2026-01-02T00:00:00.000Z", revoked_by: "human:bob", revoke_reason: "no" }],
])("from a record that is %s nothing is started", async (standing, more) => {
  network(world({ ...RECORD, ...more }));
  shown(<ApprovedView id="a_1" me={ALICE} />);
  expect(await screen.findByText(`It is ${standing}: no run starts from it any more.`)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Run" })).toBeNull();
});

test("who may not is offered neither: by role, by kind, or while panic is on", async () => {
  network(world());
  const first = shown(<ApprovedView id="a_1" me={{ ...ALICE, role: "actions" }} />);
  expect(await screen.findByText(/takes the role operator/)).toBeTruthy();
  expect(screen.queryByRole("button", { name: /Run|Revoke/ })).toBeNull();
  first.unmount();
  const second = shown(<ApprovedView id="a_1" me={ROBOT} />);
  expect(await screen.findByRole("button", { name: "Run" })).toBeTruthy();
  expect(screen.queryByRole("button", { name: /Revoke/ })).toBeNull();
  second.unmount();
  network(world(RECORD, { "GET /ops/panic": { panic_mode: true } }));
  shown(<ApprovedView id="a_1" me={ALICE} />);
  expect(await screen.findByText("Panic mode is on: nothing begins.")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Run" })).toBeNull();
});
