import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, shown } from "../../testing";
import type { Alert, AlertInFull, Silence, Sinks } from "../../types";
import AlertsView from "./AlertsView";

const HOSTILE = "<script>alert(1)</script>";
const AT = "2026-01-01T00:00:00.000Z";
const ALERT: Alert = {
  id: "al_1",
  status: "open",
  severity: "critical",
  category: "health_critical",
  source: "loop:0a1b2c:docs",
  summary: `health_critical in loop ${HOSTILE}`,
  count: 3,
  opened_at: AT,
  last_at: AT,
  ended_at: null,
  by: null,
  untold: false,
};
const WHOLE: AlertInFull = {
  ...ALERT,
  untold: true,
  dedup_key: "k",
  trace_id: "t-1",
  subject: { kind: "loop", id: "docs", repo: "/srv/a b" },
  reasons: ["runtime_heartbeat_stale"],
  escalation: { message: HOSTILE },
  deliveries: [
    {
      sink: "hook",
      action: "trigger",
      created_at: AT,
      change: 1,
      status: "pending",
      attempts: 4,
      reason: "request_failed",
      http_status: 502,
      message: `Bad ${HOSTILE}`,
      next_at: "2999-01-01T00:00:00.000Z",
      delivered_at: null,
    },
  ],
  history: [
    { at: AT, kind: "alert.opened", by: "service:alerter", severity: "critical", sink: null, note: null },
    { at: AT, kind: "alert.acknowledged", by: "human:bob", severity: null, sink: null, note: HOSTILE },
  ],
};
const SILENCE: Silence = {
  id: "si_1",
  source: "",
  category: "health_*",
  until_at: AT,
  reason: HOSTILE,
  by: "human:bob",
  created_at: AT,
};
const SINKS: Sinks = {
  source: "/w/config/sinks.json",
  problem: null,
  default_min_severity: "warning",
  default_sinks: ["hook"],
  routes: [{ category: "health_critical", min_severity: "critical", enabled: true, sinks: [] }],
  sinks: [
    {
      id: "hook",
      type: "webhook",
      enabled: true,
      timeout_seconds: 5,
      variables: [{ name: "HOOK_URL", present: false }],
      pending: 2,
      delivered: 7,
      skipped: 0,
      failures: 5,
      paused_until: "2999-01-01T00:00:00.000Z",
    },
  ],
};
const ANSWERS = {
  "GET /ops/alerts": [ALERT],
  "GET /ops/alerts/al_1": WHOLE,
  "GET /ops/alerts/silences": [SILENCE],
  "GET /ops/alerts/silences/preview": { count: 21, alerts: [ALERT] },
  "GET /ops/alerts/sinks": SINKS,
  "POST /ops/alerts/al_1/ack": { ...ALERT, status: "acknowledged" },
  "POST /ops/alerts/al_1/resolve": { ...ALERT, status: "resolved" },
  "POST /ops/alerts/replay": { id: "al_1", sink: null, status: "due", deliveries: 1 },
  "POST /ops/alerts/silences": SILENCE,
  "DELETE /ops/alerts/silences/si_1": SILENCE,
  "POST /ops/alerts/sinks/hook/test": { id: "hook", status: "delivered", http_status: 200 },
};

test("alerts are listed with what they are, and every filter is a link", async () => {
  network(ANSWERS);
  shown(<AlertsView id={undefined} me={ALICE} />, "/alerts");
  const list = await screen.findByRole("list", { name: "Alerts" });
  for (const text of [`health critical in loop ${HOSTILE}`, "critical", "3 times"])
    expect(list.textContent).toContain(text);
  expect(screen.getByRole("link", { name: "silenced" }).getAttribute("href")).toBe("/alerts?status=silenced");
  expect(document.querySelector("main script")).toBeNull();
});

test("where nothing is the matter, it is said, with where alerts come from", async () => {
  network({ ...ANSWERS, "GET /ops/alerts": [] });
  shown(<AlertsView id={undefined} me={ALICE} />);
  expect(await screen.findByText("Nothing is the matter")).toBeTruthy();
});

test("a full page leads to older ones", async () => {
  network({ ...ANSWERS, "GET /ops/alerts": Array.from({ length: 100 }, (_, at) => ({ ...ALERT, id: `al_${at}` })) });
  shown(<AlertsView id={undefined} me={ALICE} />, "/alerts?status=open");
  expect((await screen.findByRole("link", { name: "Older ones →" })).getAttribute("href")).toBe(
    "/alerts?status=open&before=al_99",
  );
});

test("an alert says of what it is, why, what happened, and who was told", async () => {
  network(ANSWERS);
  shown(<AlertsView id="al_1" me={ALICE} />);
  expect((await screen.findByRole("link", { name: "loop docs" })).getAttribute("href")).toBe(
    "/loops/docs?repo=%2Fsrv%2Fa%20b",
  );
  expect(screen.getByText("runtime heartbeat stale")).toBeTruthy();
  expect(screen.getByRole("list", { name: "What happened" }).textContent).toContain(`acknowledged${""}`);
  expect(screen.getByRole("list", { name: "What happened" }).textContent).toContain(HOSTILE);
  const deliveries = screen.getByRole("group", { name: "Deliveries" }).textContent;
  for (const text of ["hook", "pending", "4", "request failed (HTTP 502)", `Bad ${HOSTILE}`, "next try in"]) {
    expect(deliveries).toContain(text);
  }
  expect(screen.getByText(/Nobody was told of it/)).toBeTruthy();
});

test("an alert is acknowledged and resolved with a reason, and sent again", async () => {
  const asked = network(ANSWERS);
  shown(<AlertsView id="al_1" me={ALICE} />);
  for (const [verb, command] of [
    ["Ack", "interlock alert ack al_1 --note mine"],
    ["Resolve", "interlock alert resolve al_1 --reason mine"],
  ] as const) {
    await userEvent.click(await screen.findByRole("button", { name: verb }));
    await userEvent.type(screen.getByLabelText("Reason"), "mine");
    expect(screen.getByText(command)).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: verb }));
    await waitFor(() => expect(screen.queryByLabelText("Reason")).toBeNull());
  }
  await userEvent.click(screen.getByRole("button", { name: "Replay" }));
  await userEvent.click(screen.getByRole("button", { name: "Replay" }));
  await waitFor(() =>
    expect(asked.filter((each) => each.method === "POST").map((each) => [each.path, each.body])).toEqual([
      ["/ops/alerts/al_1/ack", { note: "mine" }],
      ["/ops/alerts/al_1/resolve", { note: "mine" }],
      ["/ops/alerts/replay", { alert_id: "al_1", sink: "", delivered: false }],
    ]),
  );
});

test("a reader is offered no verb and no sinks", async () => {
  network(ANSWERS);
  shown(<AlertsView id="al_1" me={{ ...ALICE, role: "actions" }} />);
  await screen.findByRole("link", { name: "loop docs" });
  for (const verb of ["Ack", "Resolve", "Replay"]) expect(screen.queryByRole("button", { name: verb })).toBeNull();
  expect(screen.queryByRole("link", { name: "Sinks" })).toBeNull();
});

test("a silence shows what it would cover before it is made, and needs a reason", async () => {
  const asked = network(ANSWERS);
  shown(<AlertsView id="silences" me={ALICE} />);
  const preview = await screen.findByRole("status", { name: "What it would silence" });
  await waitFor(() => expect(preview.textContent).toContain("21 alerts that stand now would be silenced"));
  expect(preview.textContent).toContain("and 20 more");
  const make = screen.getByRole("button", { name: "Silence" });
  expect(make).toHaveProperty("disabled", true);
  await userEvent.type(screen.getByLabelText("Category"), "health_*");
  await userEvent.selectOptions(screen.getByLabelText("For"), "12h");
  await userEvent.type(screen.getByLabelText("Reason"), "we work on it");
  expect(
    screen.getByText("interlock alert silence --reason 'we work on it' --for 12h --category 'health_*'"),
  ).toBeTruthy();
  await userEvent.click(make);
  await waitFor(() =>
    expect(asked.find((each) => each.method === "POST")?.body).toEqual({
      category: "health_*",
      source: "",
      reason: "we work on it",
      seconds: 43_200,
    }),
  );
});

test("a silence is listed with its reason, and is ended", async () => {
  const asked = network(ANSWERS);
  shown(<AlertsView id="silences" me={ALICE} />);
  await waitFor(() => expect(screen.getByRole("list", { name: "Silences" }).textContent).toContain(HOSTILE));
  await userEvent.click(screen.getByRole("button", { name: "Unsilence" }));
  await userEvent.click(screen.getByRole("button", { name: "Unsilence" }));
  await waitFor(() => expect(asked.some((each) => each.method === "DELETE" && each.path.endsWith("/si_1"))).toBe(true));
});

test("a sink says how it does and what it lacks, and answers a test", async () => {
  network(ANSWERS);
  shown(<AlertsView id="sinks" me={ALICE} />);
  const sinks = await screen.findByRole("list", { name: "Sinks" });
  for (const text of ["7 delivered, 2 waiting", "5 failed in a row", "HOOK_URL is not set", "the next try is in"]) {
    expect(sinks.textContent).toContain(text);
  }
  await userEvent.click(screen.getByRole("button", { name: "Test" }));
  await userEvent.click(screen.getByRole("button", { name: "Test" }));
  expect(await screen.findByText("It took it with HTTP 200.")).toBeTruthy();
  expect(screen.getByText("/w/config/sinks.json")).toBeTruthy();
});

test("what a sink answers to a test that fails is told", async () => {
  network({
    ...ANSWERS,
    "POST /ops/alerts/sinks/hook/test": problem(502, "sink_failed", "hook did not take it: refused"),
  });
  shown(<AlertsView id="sinks" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Test" }));
  await userEvent.click(screen.getByRole("button", { name: "Test" }));
  expect((await screen.findByRole("alert")).textContent).toContain("hook did not take it: refused");
});
