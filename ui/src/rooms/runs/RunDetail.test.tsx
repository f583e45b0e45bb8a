import "./runs.css";
import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { ALICE, network, problem, shown } from "../../testing";
import type { RunInFull, Truth } from "../../types";
import { lineOf, playStream, runOf } from "./played.testing";
import { RunDetail } from "./RunDetail";

const AT = (seconds: number) => `2026-01-01T00:00:${String(seconds).padStart(2, "0")}.000Z`;
const RUN: RunInFull = runOf(1, {
  status: "error",
  reason: "check_failed",
  message: "the check true did not pass (exit code 1)",
  why: { reason: "check_failed", says: "A check did not pass.", hint: "Look at its output." },
  result: {
    exit_code: 0,
    containment: "namespaces",
    output_bytes: 9,
    files_total: 0,
    patch: null,
    files: [],
    checks: [{ command: ["grep", "<b>it's</b>"], exit_code: 1, ended_by: "exited", duration_ms: 1_500, passed: false }],
  },
  steps: [
    { name: "agent", fence: 1, started_at: AT(0), ended_at: AT(6), duration_ms: 6_000, output: {} },
    { name: "verify", fence: 1, started_at: AT(6), ended_at: AT(8), duration_ms: 2_000, output: {} },
  ],
  log: [lineOf(1, "<img src=x onerror=alert(1)>")],
});
const GET = "GET /ops/runs/r_1";
const RETRY = "POST /ops/runs/r_1/retry";
const CANCEL = "POST /ops/runs/r_1/cancel";
const RECEIPT = "GET /ops/runs/r_1/receipt";
const HEAD = "POST /ops/evidence/head";

beforeEach(() => void playStream());

test("a run in error says why in words, what to do next, and where it failed", async () => {
  network({ [GET]: RUN });
  const { container } = shown(<RunDetail id="r_1" me={ALICE} />);
  const why = await screen.findByRole("region", { name: "Why" });
  for (const text of ["A check did not pass.", "Look at its output.", "check_failed", RUN.message ?? ""]) {
    expect(why.textContent).toContain(text);
  }
  expect(screen.getByText("failed here").closest("li")?.textContent).toContain("verify");
  expect(screen.getByText("<img src=x onerror=alert(1)>")).toBeTruthy();
  expect(container.querySelector("img")).toBeNull();
});

test("steps stand over the run's time, each as long as it took", async () => {
  network({ [GET]: RUN });
  const { container } = shown(<RunDetail id="r_1" me={ALICE} />);
  await screen.findByRole("list", { name: "Steps" });
  const bars = [...container.querySelectorAll<HTMLElement>(".runs-bar")];
  expect(bars.map((bar) => [bar.style.left, bar.style.width])).toEqual([
    ["0%", "75%"],
    ["75%", "25%"],
  ]);
});

test("a check says its command, its exit and its time, and leads to its output in the log", async () => {
  const asked = network({
    [GET]: RUN,
    "GET /ops/runs/r_1/log/search": { id: "r_1", status: "complete", lines: [1], searched_to: 1 },
  });
  shown(<RunDetail id="r_1" me={ALICE} />);
  const checks = await screen.findByRole("list", { name: "Checks" });
  expect(checks.textContent).toContain("exit 1 · 1.5 s");
  expect(checks.textContent).toContain("<b>it'\\''s</b>");
  await userEvent.click(screen.getByRole("button", { name: "Output" }));
  expect(await screen.findByText("1 of 1")).toBeTruthy();
  expect(asked.some((each) => each.path.endsWith("/search"))).toBe(true);
});

test("a run leads to its approved record, its item and its repository", async () => {
  network({ [GET]: RUN, "GET /ops/approved/a_1": { id: "a_1", terms: { repository: "https://example.org/code" } } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  expect((await screen.findByRole("link", { name: "a_1" })).getAttribute("href")).toBe("/approved/a_1");
  expect(screen.getByRole("link", { name: "ORCH-001" }).getAttribute("href")).toBe("/queue/ORCH-001");
  const repository = await screen.findByRole("link", { name: /example.org/ });
  expect(repository.getAttribute("href")).toBe("https://example.org/code");
});

test("an address that is none of the web is no link", async () => {
  const hostile = "javascript:alert(1)";
  network({ [GET]: RUN, "GET /ops/approved/a_1": { id: "a_1", terms: { repository: hostile } } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  expect((await screen.findByText(hostile)).closest("a")).toBeNull();
});

test("a receipt is downloaded, and where the log is not signed yet an operator may sign it", async () => {
  const saved = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
  const answers: Record<string, unknown> = {
    [GET]: RUN,
    [RECEIPT]: problem(409, "entry_not_covered", "No signed head covers it yet."),
    [HEAD]: { size: 9, status: "signed" },
  };
  const asked = network(answers);
  shown(<RunDetail id="r_1" me={ALICE} />);
  const log = await screen.findByRole("link", { name: "What the log says of it" });
  expect(log).toHaveAttribute("href", "/evidence?subject=r_1");
  await userEvent.click(await screen.findByRole("button", { name: "Download the receipt" }));
  expect((await screen.findByRole("alert")).textContent).toContain("No signed head covers it yet.");
  await userEvent.click(screen.getByRole("button", { name: "Sign the head" }));
  expect(screen.getByText("interlock evidence head")).toBeTruthy();
  answers[RECEIPT] = { format: "interlock-run-receipt/v1" };
  await userEvent.click(screen.getByRole("button", { name: "Sign the head" }));
  await waitFor(() => expect(saved).toHaveBeenCalledTimes(1));
  expect(asked.filter((each) => each.method === "POST").map((each) => each.path)).toEqual(["/ops/evidence/head"]);
});

test("a run in error can be done anew, and a refusal is told", async () => {
  network({ [GET]: RUN, [RETRY]: problem(409, "approval_expired", "The approval has expired.") });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Retry" }));
  expect(screen.getByText("interlock run retry r_1")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  expect((await screen.findByRole("alert")).textContent).toContain("The approval has expired.");
});

test("a run that is under way can be cancelled, with a reason", async () => {
  const asked = network({ [GET]: { ...RUN, status: "running" }, [CANCEL]: RUN });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await userEvent.keyboard("it's late");
  expect(screen.getByText("interlock run cancel r_1 --reason 'it'\\''s late'")).toBeTruthy();
  await userEvent.keyboard("{Enter}");
  await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ reason: "it's late" }));
});

test.each(["done", "cancelled"] as const)("a run that is %s offers no verb", async (status) => {
  network({ [GET]: { ...RUN, status } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  await screen.findByText("ORCH-001");
  expect(screen.queryByRole("button", { name: /Retry|Cancel/ })).toBeNull();
});

test("who may only look is offered no verb", async () => {
  network({ [GET]: RUN, [RECEIPT]: problem(409, "entry_not_covered", "No signed head covers it yet.") });
  shown(<RunDetail id="r_1" me={{ ...ALICE, role: "actions" }} />);
  await userEvent.click(await screen.findByRole("button", { name: "Download the receipt" }));
  await screen.findByRole("alert");
  expect(screen.queryByRole("button", { name: /Retry|Sign the head/ })).toBeNull();
});

const TRUTH: Truth = {
  id: "r_1",
  status: "silent",
  reason: "no_output",
  says: "Its process lives and has printed nothing for longer than a run may stand still.",
  action: "ask",
  fence: 1,
  host: "alpha\u202e",
  since: AT(0),
  seen: AT(1),
  details: { note: "<img src=x onerror=alert(1)>", takeovers: {} },
};

test("the verdict on a run says why, and what is done about it, as text", async () => {
  network({ [GET]: { ...RUN, status: "running" }, "GET /ops/runs/r_1/truth": TRUTH });
  const { container } = shown(<RunDetail id="r_1" me={ALICE} />);
  const verdict = await screen.findByRole("region", { name: "Verdict" });
  for (const text of ["silent", TRUTH.says, "A person is asked", "no_output", "alpha<U+202E>", "<img src=x"]) {
    expect(verdict.textContent).toContain(text);
  }
  expect(verdict.textContent).not.toContain("takeovers");
  expect(within(verdict).getByRole("link", { name: "Inbox" })).toHaveAttribute("href", "/inbox");
  expect(container.querySelector("img")).toBeNull();
});

test.each([
  ["wait", "Nothing is done about it."],
  ["take_over", "the next worker goes on after the last completed step"],
  ["finalise", "ended from what is stored"],
  ["kill", "with every process of it"],
  ["a_word_of_tomorrow", "a word of tomorrow"],
])("what is done about a verdict is said in words: %s", async (action, words) => {
  network({ [GET]: { ...RUN, status: "running" }, "GET /ops/runs/r_1/truth": { ...TRUTH, action } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  expect((await screen.findByRole("region", { name: "Verdict" })).textContent).toContain(words);
});

test("an ended run of which nothing is left has no verdict, and one that can not be asked for is said", async () => {
  const none = { ...TRUTH, status: "none", reason: null, action: null, host: null, since: null, seen: null };
  network({ [GET]: RUN, "GET /ops/runs/r_1/truth": none });
  const ended = shown(<RunDetail id="r_1" me={ALICE} />);
  await screen.findByText("ORCH-001");
  await waitFor(() => expect(ended.queries.isFetching()).toBe(0));
  expect(screen.queryByRole("region", { name: "Verdict" })).toBeNull();
  ended.unmount();
  network({ [GET]: { ...RUN, status: "running" } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  expect(await screen.findByText("What is true of it can not be told now.")).toBeVisible();
});

test("how well a run is proven done, and what its agent says of itself, stands with its facts", async () => {
  const agent = {
    name: "claude_code",
    session_id: "<b>s</b>",
    turns: 12,
    input_tokens: 1_000_000,
    output_tokens: 2_345,
    cost_microusd: 2_500_000,
    terminal: "success",
    resets_at: null,
  } as const;
  network({ [GET]: { ...RUN, status: "done", rung: "checked", result: { ...RUN.result, agent } } });
  const { container } = shown(<RunDetail id="r_1" me={ALICE} />);
  const shownOf = await screen.findByRole("article", { name: "Run" });
  for (const text of [
    ...["proven done", "checked: its checks passed on exactly the result", "claude_code", "12", "<b>s</b>"],
    ...["1,002,345 tokens: 1,000,000 read, 2,345 written", "2.50 USD", "success"],
  ]) {
    expect(shownOf.textContent).toContain(text);
  }
  expect(container.querySelector("b")).toBeNull();
});

test("a run that waits for CI says so, what it waits for, and how well it is proven so far", async () => {
  const why = { reason: "waits_for_ci", says: "It waits for CI to report.", hint: "Bring the result to CI." };
  const proof = { rung: "checked", tree: null, commit: null, at_ms: 0, checks: [] } as const;
  network({ [GET]: { ...RUN, status: "pending", reason: "waits_for_ci", why, result: { ...RUN.result, proof } } });
  shown(<RunDetail id="r_1" me={ALICE} />);
  expect((await screen.findByRole("region", { name: "Why" })).textContent).toContain("It waits for CI to report.");
  expect(screen.getByText("proven so far").parentElement?.textContent).toContain("checked");
});
