import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, ROBOT, shown } from "../../testing";
import type { DefinitionInFull, PipelineRunInFull } from "../../types";
import PipelinesView from "./PipelinesView";

const DEFINITION: DefinitionInFull = {
  id: "refresh",
  status: "changed",
  digest: "sha256:abcdef0123456789",
  changes: ["tools/doc.py"],
  accepted_digest: "sha256:1",
  accepted_by: "human:bob",
  accepted_at: "2026-01-01T00:00:00.000Z",
  search_path: "/usr/bin",
  materials: [{ name: "tools/doc.py", kind: "file", path: "/w/tools/doc.py", sha256: "ff".repeat(32) }],
  definition: { name: "refresh" },
};
const ARTEFACT = { path: "out/review.json", sha256: "ff", size: 3 };
const RUN: PipelineRunInFull = {
  id: "pipeline_1",
  name: "refresh",
  status: "Failed",
  reason: "checkpoint_missing",
  message: "The verifier has not signed.",
  digest: "sha256:1",
  triggered_at: "2026-01-01T00:00:00.000Z",
  triggered_by: "human:alice",
  ended_at: null,
  commit_sha: "",
  stages: [{ name: "docs", stage_type: "DocsRefresh", status: "Failed", duration_ms: 637 }],
  jobs: [],
  rules: [
    { name: "sanity", role: "planner", artefact: "out/review.json" },
    { name: "gate", role: "verifier", artefact: "out/report.md" },
  ],
  checkpoints: [
    {
      name: "sanity",
      role: "planner",
      agent_id: "PlanAgent",
      keyid: "276b8da6",
      job: "docs",
      summary: "It is healthy",
      artefact: ARTEFACT,
      envelope: "sha256:0df7e187c8b0dea3ea81",
      issued_ms: 1,
      expires_ms: 2,
    },
  ],
  security_scans: [],
};
const ANSWERS = {
  "GET /ops/pipelines": [DEFINITION],
  "GET /ops/pipeline-runs": [RUN],
  "GET /ops/pipelines/refresh": DEFINITION,
  "GET /ops/pipeline-runs/pipeline_1": RUN,
  "POST /ops/pipelines/refresh/accept": { ...DEFINITION, status: "accepted" },
};

test("definitions and runs are listed with how they stand", async () => {
  network(ANSWERS);
  shown(<PipelinesView me={ALICE} />);
  const list = await screen.findByRole("list", { name: "Pipelines" });
  for (const text of ["changed", "tools/doc.py", "Failed"]) expect(list.textContent).toContain(text);
});

test("a definition is accepted at the digest that was shown", async () => {
  const asked = network(ANSWERS);
  shown(<PipelinesView name="refresh" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Accept" }));
  expect(screen.getByText("interlock pipeline approve refresh --digest sha256:abcdef0123456789")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Accept" }));
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ digest: DEFINITION.digest }));
});

test("an agent is not offered to accept a definition", async () => {
  network(ANSWERS);
  shown(<PipelinesView name="refresh" me={ROBOT} />);
  expect(await screen.findByText(/Only a human with the role admin accepts/)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Accept" })).toBeNull();
});

test("a run says who signed which checkpoint, and which is not signed", async () => {
  network(ANSWERS);
  shown(<PipelinesView run="pipeline_1" me={ALICE} />);
  expect(await screen.findByText("PlanAgent")).toBeTruthy();
  for (const text of ["276b8da6", "637 ms", "Not signed. It is asked for over out/report.md."]) {
    expect(screen.getByText(text)).toBeTruthy();
  }
  expect(screen.getByText(/The verifier has not signed/)).toBeTruthy();
});
