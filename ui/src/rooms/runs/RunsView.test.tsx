import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { ALICE, network, problem, shown } from "../../testing";
import { runOf } from "./played.testing";
import RunsView from "./RunsView";

/** Answer the list by pages, newest first: r_120 … r_1. */
function playList(): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname, searchParams } = new URL(request.url);
    asked.push(`${pathname}?${searchParams}`);
    if (pathname !== "/ops/runs") {
      return new Response(JSON.stringify(problem(404, "run_not_found", "There is no such run.")), { status: 404 });
    }
    const newest = Number(searchParams.get("before")?.slice(2) ?? 121) - 1;
    const count = Math.min(Number(searchParams.get("limit")), newest);
    const page = Array.from({ length: count }, (_, place) => ({
      ...runOf(0),
      id: `r_${newest - place}`,
      item_id: `ORCH-${newest - place}`,
    }));
    return new Response(JSON.stringify(page), { headers: { "content-type": "application/json" } });
  });
  return asked;
}

test("older runs come page by page, and the walk by keys goes on into them", async () => {
  const asked = playList();
  shown(<RunsView id="r_71" me={ALICE} />, "/runs/r_71");
  expect(await screen.findByText("ORCH-71")).toBeTruthy();
  expect(screen.queryByText("ORCH-70")).toBeNull();
  await userEvent.keyboard("j");
  expect(await screen.findByText("ORCH-70")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Older" }));
  expect(await screen.findByText("ORCH-1")).toBeTruthy();
  await waitFor(() => expect(screen.queryByRole("button", { name: "Older" })).toBeNull());
  expect(asked.filter((each) => each.startsWith("/ops/runs?"))).toEqual([
    "/ops/runs?limit=50",
    "/ops/runs?limit=50&before=r_71",
    "/ops/runs?limit=50&before=r_21",
  ]);
});

test("the address chooses: by status, or the runs of one record", async () => {
  const asked = playList();
  const { unmount } = shown(<RunsView id={undefined} me={ALICE} />, "/runs?status=error");
  await screen.findByText("ORCH-120");
  expect(screen.getByRole("link", { name: /ORCH-120/ }).getAttribute("href")).toBe("/runs/r_120?status=error");
  unmount();
  shown(<RunsView id={undefined} me={ALICE} />, "/runs?approved=a_1");
  expect((await screen.findByRole("link", { name: "a_1" })).getAttribute("href")).toBe("/approved/a_1");
  await screen.findByText("ORCH-120");
  expect(asked.filter((each) => each.startsWith("/ops/runs"))).toEqual([
    "/ops/runs?status=error&limit=50",
    "/ops/runs?approved_id=a_1&limit=50",
  ]);
});

test("a list says of which run something is not in order, and which only waits for CI", async () => {
  const waits = { ...runOf(0), id: "r_3", item_id: "ORCH-3", status: "pending", reason: "waits_for_ci" };
  const runs = ["r_1", "r_2"].map((id) => ({ ...runOf(0), id, item_id: `ORCH-${id}`, status: "running" }));
  network({
    "GET /ops/runs": [waits, ...runs],
    "GET /ops/truth": [
      { id: "r_1", status: "progressing" },
      { id: "r_2", status: "finished_unreported" },
    ],
  });
  shown(<RunsView id={undefined} me={ALICE} />, "/runs");
  expect(await screen.findByText("finished unreported")).toBeVisible();
  expect(screen.getByText("finished unreported").closest("a")?.textContent).toContain("ORCH-r_2");
  expect(screen.getByText("waits for CI").closest("a")?.textContent).toContain("ORCH-3");
  expect(screen.queryByText("progressing")).toBeNull();
});
