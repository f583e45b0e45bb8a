import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { ALICE, network, ROBOT, shown } from "../../testing";
import type { DefinitionInFull, PipelineRunInFull } from "../../types";
import PipelinesView from "./PipelinesView";

const HOSTILE = "<img src=x onerror=alert(1)>";
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
  definition: {
    name: "refresh",
    version: "1",
    description: "Renders the documents.",
    dialect: "jobs",
    path: "cicd/pipelines/refresh.yaml",
    roles: { planner: "PlanAgent" },
    variables: {},
    checkpoints: [],
    stages: [{ name: "docs", type: "DocsRefresh", parallel: false, budget: { tokens: null, latency_ms: null } }],
    jobs: [
      {
        id: "render",
        stage: "docs",
        needs: ["look"],
        lines: [{ argv: ["sh", "-c", `echo ${"<b>it</b>"}`], if_exists: null }],
        role: "planner",
        action: null,
        parameters: {},
        artefacts: ["out/report.md"],
        requires: [{ checkpoint: "sanity", summary: "" }],
        signs: ["gate"],
        repository: null,
        ref: "HEAD",
        network: false,
        environment: {},
        limits: { seconds: 1800, output_bytes: 1, file_bytes: 1 },
        estimated_tokens: 0,
        estimated_latency_ms: 0,
        budget_sensitive: false,
      },
    ],
    artefacts: [],
  },
};
const ACCEPTED: DefinitionInFull = { ...DEFINITION, status: "accepted", changes: [] };
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
  jobs: [
    {
      id: "docs",
      stage: "docs",
      role: "planner",
      status: "Failed",
      attempt: 2,
      started_ms: 1_000,
      ended_ms: 2_500,
      reason: "command_failed",
      message: HOSTILE,
      exit_code: 3,
      containment: "namespaces",
      notes: ["egress_not_enforced"],
      artefacts: [{ path: `out/${HOSTILE}`, sha256: "ab".repeat(32), size: 4_096 }],
    },
  ],
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
  security_scans: [
    {
      subject: "out",
      tool: "kingfisher",
      status: "failed",
      issues: ["aws.1 in line 3"],
      report_artifact: null,
      metadata: { sha256: "ab".repeat(32), size: 4_096, skipped_because: null },
    },
  ],
};
const LINE = { line: 1, ts: "2026-01-01T00:00:00.000Z", job: "docs", stream: "stderr", msg: HOSTILE } as const;
const ANSWERS = {
  "GET /ops/pipelines": [DEFINITION],
  "GET /ops/pipeline-runs": [RUN],
  "GET /ops/pipelines/refresh": DEFINITION,
  "GET /ops/pipeline-runs/pipeline_1": RUN,
  "GET /ops/pipeline-runs/pipeline_1/log": [LINE],
  "POST /ops/pipelines/refresh/runs": { ...RUN, id: "pipeline_2" },
  "POST /ops/pipeline-runs/pipeline_1/cancel": RUN,
  "POST /ops/pipelines/refresh/accept": { ...DEFINITION, status: "accepted" },
};

test("definitions and runs are listed with how they stand", async () => {
  network(ANSWERS);
  shown(<PipelinesView id={undefined} me={ALICE} />);
  const list = await screen.findByRole("list", { name: "Pipelines" });
  for (const text of ["changed", "tools/doc.py", "Failed"]) expect(list.textContent).toContain(text);
});

test("a definition is accepted at the digest that was shown", async () => {
  const asked = network(ANSWERS);
  shown(<PipelinesView id="definitions/refresh" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Accept" }));
  expect(screen.getByText("interlock pipeline approve refresh --digest sha256:abcdef0123456789")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Accept" }));
  await waitFor(() =>
    expect(asked.find((each) => each.method === "POST")?.body).toEqual({ digest: DEFINITION.digest }),
  );
});

test("an agent is not offered to accept a definition", async () => {
  network(ANSWERS);
  shown(<PipelinesView id="definitions/refresh" me={ROBOT} />);
  expect(await screen.findByText(/Only a human with the role admin accepts/)).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Accept" })).toBeNull();
});

test("a run says who signed which checkpoint, and which is not signed", async () => {
  network(ANSWERS);
  shown(<PipelinesView id="runs/pipeline_1" me={ALICE} />);
  expect(await screen.findByText("PlanAgent")).toBeTruthy();
  const checkpoints = screen.getByRole("list", { name: "Checkpoints" }).textContent;
  for (const text of ["276b8da6", "by the planner", "sha256 ff", "Not signed. It is asked for over out/report.md."]) {
    expect(checkpoints).toContain(text);
  }
  expect(screen.getByText(/The verifier has not signed/)).toBeTruthy();
});

test("a definition shows its stages and each command, and what is signed", async () => {
  network(ANSWERS);
  shown(<PipelinesView id="definitions/refresh" me={ALICE} />);
  const jobs = await screen.findByRole("list", { name: "Jobs of docs" });
  for (const text of [
    "after look",
    "sh -c 'echo <b>it</b>'",
    "behind the checkpoints sanity",
    "signs gate",
    "30 min",
  ]) {
    expect(jobs.textContent).toContain(text);
  }
});

test("a run is asked for once, however often the button is pressed", async () => {
  const asked = network({ ...ANSWERS, "GET /ops/pipelines/refresh": ACCEPTED });
  shown(<PipelinesView id="definitions/refresh" me={{ ...ALICE, role: "operator" }} />);
  await userEvent.click(await screen.findByRole("button", { name: "Run" }));
  expect(screen.getByText("interlock pipeline run refresh")).toBeTruthy();
  await userEvent.dblClick(screen.getByRole("button", { name: "Run" }));
  const sent = () => asked.filter((each) => each.path === "/ops/pipelines/refresh/runs");
  await waitFor(() => expect(sent().length).toBeGreaterThan(0));
  expect(new Set(sent().map((each) => each.headers.get("Idempotency-Key"))).size).toBe(1);
  expect(sent()[0]?.headers.get("Idempotency-Key")).toMatch(/^[0-9a-f]{32}$/);
  expect(sent()[0]?.body).toEqual({ trigger: "console" });
});

test("what was changed is not offered to be run, nor anything to a reader", async () => {
  network(ANSWERS);
  const { unmount } = shown(<PipelinesView id="definitions/refresh" me={ALICE} />);
  await screen.findByRole("button", { name: "Accept" });
  expect(screen.queryByRole("button", { name: "Run" })).toBeNull();
  unmount();
  network({ ...ANSWERS, "GET /ops/pipelines/refresh": ACCEPTED });
  shown(<PipelinesView id="definitions/refresh" me={{ ...ALICE, role: "actions" }} />);
  await screen.findByRole("list", { name: "Jobs of docs" });
  expect(screen.queryByRole("button", { name: "Run" })).toBeNull();
});

test("a run that has not ended is cancelled with a reason, one that failed says how it is resumed", async () => {
  const asked = network({ ...ANSWERS, "GET /ops/pipeline-runs/pipeline_1": { ...RUN, status: "Running" } });
  const { unmount } = shown(<PipelinesView id="runs/pipeline_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await userEvent.type(screen.getByLabelText("Reason"), "not today");
  expect(screen.getByText("interlock pipeline cancel pipeline_1 --reason 'not today'")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ reason: "not today" }));
  unmount();
  network(ANSWERS);
  shown(<PipelinesView id="runs/pipeline_1" me={ALICE} />);
  expect(await screen.findByText("interlock pipeline resume pipeline_1")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Cancel" })).toBeNull();
});

test("jobs, artefacts and log lines are shown as the text that they are", async () => {
  network(ANSWERS);
  shown(<PipelinesView id="runs/pipeline_1" me={ALICE} />);
  const jobs = await screen.findByRole("list", { name: "Jobs of docs" });
  for (const text of ["attempt 2", "1.5 s", "exit 3", HOSTILE, "egress not enforced", "Signed sanity"]) {
    expect(jobs.textContent).toContain(text);
  }
  const artefacts = screen.getByRole("group", { name: "Artefacts" }).textContent;
  for (const text of [`out/${HOSTILE}`, "4,096", "aws.1 in line 3", "abababababab"]) expect(artefacts).toContain(text);
  await waitFor(() => expect(screen.getByRole("group", { name: "Log lines" }).textContent).toContain(HOSTILE));
  expect(document.querySelector("img")).toBeNull();
});

test("of a long log every line is fetched once, and only those that can be seen are drawn", async () => {
  const asked = network({});
  const lines = Array.from({ length: 2_500 }, (_, at) => ({ ...LINE, line: at + 1, msg: `says ${at + 1}` }));
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    asked.push({ method: "GET", path: url.pathname + url.search, headers: request.headers, body: undefined });
    const after = Number(url.searchParams.get("after"));
    const answer = url.pathname.endsWith("/log")
      ? lines.slice(after, after + 1_000)
      : ANSWERS[`GET ${url.pathname}` as keyof typeof ANSWERS];
    return new Response(JSON.stringify(answer), { headers: { "content-type": "application/json" } });
  });
  shown(<PipelinesView id="runs/pipeline_1" me={ALICE} />);
  expect(await screen.findByText("These are all 2,500 so far.")).toBeTruthy();
  expect(asked.filter((each) => each.path.includes("/log?after=1000")).length).toBe(1);
  expect(screen.getByRole("group", { name: "Log lines" }).querySelectorAll("li").length).toBeLessThan(150);
  await userEvent.click(screen.getByRole("button", { name: "Follow" }));
  expect(await screen.findByText("says 2500")).toBeTruthy();
});

test("runs are filtered and paged by links", async () => {
  network({
    ...ANSWERS,
    "GET /ops/pipeline-runs": Array.from({ length: 100 }, (_, at) => ({ ...RUN, id: `pipeline_${at}` })),
  });
  shown(<PipelinesView id={undefined} me={ALICE} />, "/pipelines?status=Failed&name=refresh");
  expect((await screen.findByRole("link", { name: "Older ones →" })).getAttribute("href")).toBe(
    "/pipelines?status=Failed&name=refresh&before=pipeline_99",
  );
  expect(screen.getByText(/Runs of refresh/)).toBeTruthy();
  expect(screen.queryByText("definition · accepted by human:bob")).toBeNull();
});
