import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import type { Loop, LoopControlled, LoopInFull } from "../../types";
import LoopsView from "./LoopsView";

const HOSTILE = '<img src=x onerror="alert(1)">';
const LOOP: Loop = {
  id: "docs",
  status: "critical",
  repo: `/srv/${HOSTILE}`,
  watch: "w_1",
  state: "awaiting_approval",
  reasons: ["runtime_heartbeat_stale"],
  why: ["no heartbeat for too long"],
  heartbeat_lag_seconds: 400,
  heartbeat_at: "2026-01-01T00:00:00Z",
  sequence: "ok",
  divergence: false,
  drift: "aligned",
  last_control: "cancel ambiguous",
  frozen: ["control_ambiguous"],
  reconciled_at: "2026-01-01T00:00:00Z",
};
const HEALTHY: Loop = { ...LOOP, id: "alpha", status: "healthy", repo: "/srv/a", why: [], reasons: [], frozen: [] };
const AMBIGUOUS: LoopControlled = {
  id: "docs",
  intent: "cancel",
  status: "ambiguous",
  title: "nobody knows whether it took effect",
  means: "It may have happened, or not.",
  do: "Do not repeat it. Reconcile, look at the runtime, then acknowledge.",
  by: "alice",
  at: "2026-01-01T00:00:00Z",
  note: HOSTILE,
  transport: "local",
  trace_id: "t-1",
  output: "sent",
  failure: null,
  observed: "timeout",
  attempts: 3,
};
const WHOLE: LoopInFull = {
  ...LOOP,
  detail: null,
  view: {
    lifecycle: {
      state: "awaiting_approval",
      title: "waits for an approval",
      means: "It goes on when a person approves or rejects.",
      before: "running",
      signal: "event:ask",
      confidence: "high",
      run_id: "r-7",
      iteration: 2,
      last_event: "ask",
      last_event_at: "2026-01-01T00:00:00Z",
      pending_approval: true,
    },
    judged_at: "2026-01-01T00:00:00Z",
    profile: "balanced",
    reasons: [
      {
        code: "runtime_heartbeat_stale",
        title: "no heartbeat for too long",
        means: "The runtime has not said that it lives.",
        do: "See whether its process is there.",
        severity: "critical",
        metric: "heartbeatLagSeconds",
        observed: "400",
        threshold: "300",
      },
    ],
    heartbeat: {
      status: "critical",
      at: "2026-01-01T00:00:00Z",
      lag_seconds: 6_272,
      degraded_after_seconds: 120,
      critical_after_seconds: 300,
      trouble: null,
    },
    sequence: {
      status: "ordering_drift_detected",
      expected: 9,
      seen: 4,
      log_before: 9,
      log_now: 4,
      ingested: 4,
      violations: [{ code: "event_sequence_regression", title: "gone", means: "It does not reach as far.", do: "" }],
      at: null,
    },
    divergence: [{ code: "cursorRegression", title: "the log lost events", means: "It lost what it held.", do: "" }],
    drift: null,
    intents: [AMBIGUOUS],
    reconcile: {
      status: "success",
      at: null,
      transport: "local",
      failure_code: null,
      failure: null,
      duration_seconds: 0,
    },
    traces: [{ surface: "reconcile", trace_id: "t-9" }],
    shared_trace_id: null,
    frozen: [{ code: "control_ambiguous", title: "the last intent is not clear", means: "", do: "" }],
    events_read: 4,
    events_total: 4,
  },
};
const WATCH = { id: "w_1", repo: "/srv/a", loop: null, added_at: "2026-01-01T00:00:00Z", added_by: "human:alice" };
const ANSWERS = {
  "GET /ops/loops": [HEALTHY, LOOP],
  "GET /ops/loops/docs": WHOLE,
  "GET /ops/loops/watches": [WATCH],
  "POST /ops/loops/docs/control": AMBIGUOUS,
  "POST /ops/loops/docs/acknowledge": {
    ...AMBIGUOUS,
    intent: "acknowledge",
    status: "acknowledged",
    title: "looked after",
  },
  "POST /ops/loops/docs/unfreeze": { id: "docs", status: "released" },
  "POST /ops/loops/docs/reconcile": { ...WHOLE, ingested: true },
  "POST /ops/loops/watches": WATCH,
};

async function rowsOf(path = "/loops") {
  shown(<LoopsView id={undefined} me={ALICE} />, path);
  const list = await screen.findByRole("list", { name: "Loops" });
  return within(list).getAllByRole("link");
}

test("the fleet shows the worst first, and says in words what is wrong", async () => {
  network(ANSWERS);
  const rows = await rowsOf();
  expect(rows.map((each) => each.querySelector("strong")?.textContent)).toEqual(["docs", "alpha"]);
  for (const text of ["critical", "awaiting approval", "no heartbeat for too long", "frozen for machines", HOSTILE]) {
    expect(rows[0]?.textContent).toContain(text);
  }
  expect(rows[0]?.getAttribute("href")).toBe(`/loops/docs?repo=${encodeURIComponent(LOOP.repo)}`);
  expect(document.querySelector("img")).toBeNull();
});

test("filters are links, and what is sought for is found", async () => {
  network(ANSWERS);
  expect((await rowsOf("/loops?status=healthy")).length).toBe(1);
  await userEvent.type(screen.getByRole("searchbox"), "nowhere");
  expect(await screen.findByText("No loop is healthy")).toBeTruthy();
  expect(screen.getByRole("link", { name: "in trouble" }).getAttribute("href")).toBe("/loops?status=in%20trouble");
});

test("of many loops only those that can be seen are drawn, and j walks to one", async () => {
  const many = Array.from({ length: 900 }, (_, place) => ({
    ...HEALTHY,
    id: `loop-${String(place).padStart(3, "0")}`,
  }));
  network({ ...ANSWERS, "GET /ops/loops": many });
  const rows = await rowsOf();
  expect(rows.length).toBeLessThan(120);
  expect(screen.getByText("900 of 900")).toBeTruthy();
  await userEvent.keyboard("jj");
  await waitFor(() => expect(document.activeElement?.textContent).toContain("loop-001"));
});

test("a workspace without loops says how one is looked after", async () => {
  network({ ...ANSWERS, "GET /ops/loops": [] });
  shown(<LoopsView id={undefined} me={ALICE} />);
  expect(await screen.findByText("No loop is looked after")).toBeTruthy();
  expect(screen.getAllByText("interlock loop watch --repo DIR").length).toBe(2);
});

test("a loop's page says why, what to do, and every measure with its limit", async () => {
  network(ANSWERS);
  shown(<LoopsView id="docs" me={ALICE} />, "/loops/docs");
  expect((await screen.findByRole("list", { name: "Reasons" })).textContent).toContain(
    "See whether its process is there.",
  );
  expect(screen.getByRole("group", { name: "Heartbeat" }).textContent).toContain(
    "1 h 44 min old; late after 2 min, critical after 5 min",
  );
  const sequence = screen.getByRole("group", { name: "Sequence" }).textContent;
  for (const text of ["event 4", "9 was before", "events are missing", "It does not reach as far."])
    expect(sequence).toContain(text);
  expect(screen.getByRole("group", { name: "Divergence" }).textContent).toContain("the log lost events");
  expect(screen.getByRole("list", { name: "Traces" }).textContent).toContain("t-9");
  expect(screen.getByRole("list", { name: "Intents" }).textContent).toContain(HOSTILE);
  expect(document.querySelector("img")).toBeNull();
});

test("an intent is sent once with its reason, and its unclear outcome is said as it is", async () => {
  const asked = network(ANSWERS);
  shown(<LoopsView id="docs" me={ALICE} />, `/loops/docs?repo=${encodeURIComponent(LOOP.repo)}`);
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await userEvent.type(screen.getByLabelText("Reason"), "it hangs");
  expect(screen.getByText(/interlock loop control docs --repo .* --intent cancel --note 'it hangs'/)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  const banner = await screen.findByText(/nobody knows whether it took effect/);
  expect(banner.closest("[role=status]")?.textContent).toContain("Do not repeat it. Reconcile");
  const sent = asked.filter((each) => each.method === "POST");
  expect(sent.map((each) => each.body)).toEqual([
    { intent: "cancel", note: "it hangs", confirm: true, timeout_seconds: 10 },
  ]);
});

test("after an unclear outcome a person is offered to acknowledge and to unfreeze", async () => {
  const asked = network(ANSWERS);
  shown(<LoopsView id="docs" me={ALICE} />, "/loops/docs");
  await userEvent.click(await screen.findByRole("button", { name: "Acknowledge" }));
  await userEvent.type(screen.getByLabelText("Reason"), "looked");
  await userEvent.click(screen.getByRole("button", { name: "Acknowledge" }));
  await waitFor(() =>
    expect(asked.find((each) => each.path.endsWith("/acknowledge"))?.body).toEqual({ note: "looked" }),
  );
  await userEvent.click(await screen.findByRole("button", { name: "Unfreeze" }));
  await userEvent.click(screen.getByRole("button", { name: "Unfreeze" }));
  await waitFor(() => expect(asked.some((each) => each.path.endsWith("/unfreeze"))).toBe(true));
});

test("an agent is offered neither to approve, to acknowledge nor to unfreeze, and a reader nothing", async () => {
  network(ANSWERS);
  const { unmount } = shown(<LoopsView id="docs" me={ROBOT} />, "/loops/docs");
  expect(await screen.findByRole("button", { name: "Reconcile" })).toBeTruthy();
  for (const verb of ["Approve", "Acknowledge", "Unfreeze"])
    expect(screen.queryByRole("button", { name: verb })).toBeNull();
  unmount();
  shown(<LoopsView id="docs" me={{ ...ALICE, role: "actions" }} />, "/loops/docs");
  await screen.findByRole("list", { name: "Reasons" });
  expect(screen.queryByRole("button", { name: "Reconcile" })).toBeNull();
});

test("a run of ours is steered as a run", async () => {
  network({ ...ANSWERS, "GET /ops/loops/docs": { ...WHOLE, watch: null } });
  shown(<LoopsView id="docs" me={ALICE} />, "/loops/docs");
  expect((await screen.findByRole("link", { name: "cancel the run" })).getAttribute("href")).toBe("/runs/docs");
  expect(screen.queryByRole("button", { name: "Cancel" })).toBeNull();
});

test("what is refused is told in the server's words", async () => {
  network({
    ...ANSWERS,
    "POST /ops/loops/docs/control": problem(409, "control_frozen", "docs is frozen.", "look at it"),
  });
  shown(<LoopsView id="docs" me={ALICE} />, "/loops/docs");
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  const alert = await screen.findByRole("alert");
  for (const text of ["docs is frozen.", "look at it", "req-77"]) expect(alert.textContent).toContain(text);
});

test("a repository is watched, and only an admin is offered it", async () => {
  const asked = network(ANSWERS);
  const { unmount } = shown(<LoopsView id={undefined} me={ALICE} />);
  await userEvent.click(await screen.findByText("Watch another repository"));
  await userEvent.type(screen.getByLabelText("Repository on the server"), "/srv/b");
  await userEvent.click(screen.getByRole("button", { name: "Watch" }));
  await waitFor(() =>
    expect(asked.find((each) => each.method === "POST")?.body).toEqual({ repo: "/srv/b", loop: null }),
  );
  expect(screen.getByRole("list", { name: "Watches" }).textContent).toContain("/srv/a");
  unmount();
  shown(<LoopsView id={undefined} me={{ ...ALICE, role: "operator" }} />);
  await screen.findByRole("list", { name: "Watches" });
  expect(screen.queryByText("Watch another repository")).toBeNull();
});

test("what was found before the last intent is said to be that", async () => {
  const view = WHOLE.view && { ...WHOLE.view, judged_at: "2025-12-31T23:59:59Z" };
  network({ ...ANSWERS, "GET /ops/loops/docs": { ...WHOLE, view } });
  shown(<LoopsView id="docs" me={ALICE} />, "/loops/docs");
  expect(await screen.findByText(/was found before the last intent/)).toBeTruthy();
});
