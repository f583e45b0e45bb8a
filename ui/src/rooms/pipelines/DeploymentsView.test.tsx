import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { ALICE, network, shown } from "../../testing";
import type { DeploymentInFull } from "../../types";
import DeploymentsView from "./DeploymentsView";

const HOSTILE = "<img src=x onerror=alert(1)>";
const AT = "2026-01-01T00:00:00.000Z";
const NUMBERS = { error_rate: 12.5, response_time_ms: 80, cpu_usage: 0, memory_usage: 0, active_connections: 0 };
const ONE: DeploymentInFull = {
  id: "deploy_1",
  name: "site",
  environment: "Staging",
  strategy: "Canary",
  version: "2.0",
  previous_version: "1.0",
  status: "RolledBack",
  healthy: false,
  health_metrics: NUMBERS,
  pipeline_id: "pipeline_1",
  reason: "health_failed",
  message: `errors: ${HOSTILE}`,
  created_at: AT,
  created_by: "human:alice",
  digest: "sha256:1",
  steps_done: 2,
  steps: [
    {
      at: AT,
      number: 1,
      name: "start",
      status: "Success",
      exit_code: 0,
      message: null,
      duration_ms: 40,
      containment: "namespaces",
      notes: [],
    },
    {
      at: AT,
      number: 1,
      name: "undo-1",
      status: "RolledBack",
      exit_code: 0,
      message: null,
      duration_ms: 9,
      containment: null,
      notes: [],
    },
  ],
  looks: [
    {
      at: AT,
      healthy: false,
      health_metrics: NUMBERS,
      probes: [{ name: "errors", kind: "metric", passed: false, measured: "12.5", message: "it is not < 5" }],
    },
  ],
  history: [{ at: AT, by: "human:alice", what: "rolled back", reason: "health_failed", message: HOSTILE }],
  run: {
    id: "pipeline_1",
    name: "refresh",
    status: "Success",
    reason: null,
    message: null,
    digest: "sha256:2",
    triggered_at: AT,
    triggered_by: "human:bob",
    ended_at: AT,
  },
  signed: [
    {
      name: "gate",
      role: "verifier",
      agent_id: "VerifyAgent",
      keyid: "276b8da6",
      job: "verify",
      summary: "It is right",
      artefact: { path: "out/report.md", sha256: "ff", size: 3 },
      envelope: "sha256:0df7",
      issued_ms: 1,
      expires_ms: 2,
    },
  ],
};
const ANSWERS = { "GET /ops/deployments": [ONE], "GET /ops/deployments/deploy_1": ONE };

test("deployments are listed with their environment and how they stand", async () => {
  network(ANSWERS);
  shown(<DeploymentsView id={undefined} me={ALICE} />);
  const list = await screen.findByRole("list", { name: "Deployments" });
  for (const text of ["rolled back", "site 2.0", "Staging", "human:alice"]) expect(list.textContent).toContain(text);
});

test("where nothing was deployed, the command is shown", async () => {
  network({ ...ANSWERS, "GET /ops/deployments": [] });
  shown(<DeploymentsView id={undefined} me={ALICE} />);
  expect(await screen.findByText("Nothing was deployed")).toBeTruthy();
  expect(screen.getByText(/^interlock deployment create NAME/)).toBeTruthy();
});

test("a deployment says what its probes measured, why it was taken back, and who signed for its run", async () => {
  network(ANSWERS);
  shown(<DeploymentsView id="deploy_1" me={ALICE} />);
  expect((await screen.findByRole("list", { name: "Steps" })).textContent).toContain("taken back");
  const looks = screen.getByRole("list", { name: "Looks at its health" }).textContent;
  for (const text of ["errors 12.5 %", "answers in 80 ms", "measured 12.5", "it is not < 5"])
    expect(looks).toContain(text);
  expect(screen.getByRole("list", { name: "Signed" }).textContent).toContain("VerifyAgent");
  expect(screen.getByRole("link", { name: "refresh" }).getAttribute("href")).toBe("/pipelines/runs/pipeline_1");
  expect(screen.getAllByText(/onerror=alert/).length).toBe(2);
  expect(document.querySelector("img")).toBeNull();
});

test("the verbs are commands for the machine of the workspace, as it stands", async () => {
  network({ ...ANSWERS, "GET /ops/deployments/deploy_1": { ...ONE, status: "Running", run: null, signed: [] } });
  shown(<DeploymentsView id="deploy_1" me={ALICE} />);
  expect(await screen.findByText("interlock deployment promote deploy_1")).toBeTruthy();
  expect(screen.getByText("interlock deployment rollback deploy_1 --reason WHY")).toBeTruthy();
  expect(screen.getByText(/it can not be promoted/)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Promote" })).toBeNull();
});
