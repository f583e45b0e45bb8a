import "./runs.css";
import { act, configure, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { shown } from "../../testing";
import { lineOf, playLog, playStream, runOf, type Stream } from "./played.testing";
import { RunLog } from "./RunLog";

const MILLION = 1_000_000;
let streams: typeof Stream;
configure({ asyncUtilTimeout: 5_000 }); // a browser under load is slow to lay a million lines out
beforeEach(() => {
  streams = playStream();
});

const box = () => screen.getByRole("group", { name: "Log" });
const rows = () => screen.getAllByRole("listitem");
const follow = () => screen.getByRole("button", { name: /Follow|To the end/ });

async function goTo(line: number) {
  await userEvent.type(screen.getByLabelText("Go to line"), `${line}{Enter}`);
}

test("a million lines are on few rows, begin at the end, and ask for nothing that came with the run", async () => {
  const asked = playLog(MILLION);
  shown(<RunLog run={runOf(MILLION)} />);
  expect(await screen.findByText("line 1000000")).toBeTruthy();
  expect(rows().length).toBeLessThan(200);
  expect(screen.getByText("of 1,000,000")).toBeTruthy();
  await new Promise((done) => setTimeout(done, 200));
  expect(asked).toEqual([]);
});

test("going to line 900,000 asks only for its page", async () => {
  const asked = playLog(MILLION);
  shown(<RunLog run={runOf(MILLION)} />);
  await screen.findByText("line 1000000");
  await goTo(900_100);
  expect(await screen.findByText("line 900100")).toBeTruthy();
  expect(asked).toEqual(["/ops/runs/r_1/log?after=900000&limit=200"]);
  expect(rows().length).toBeLessThan(200);
  expect(screen.getByText("line 900100").closest("[data-chosen]")).toBeTruthy();
});

test("the first and the last of a million lines can be reached", async () => {
  playLog(MILLION);
  shown(<RunLog run={runOf(MILLION)} />);
  await screen.findByText("line 1000000");
  await goTo(1);
  expect(await screen.findByText("line 1")).toBeTruthy();
  await userEvent.click(follow());
  expect(await screen.findByText("line 1000000")).toBeTruthy();
});

test("of more lines than a browser can scroll, any can be gone to", async () => {
  const asked = playLog(5 * MILLION);
  shown(<RunLog run={runOf(5 * MILLION)} />);
  expect(await screen.findByText("line 5000000")).toBeTruthy();
  await goTo(2_000_050);
  expect(await screen.findByText("line 2000050")).toBeTruthy();
  expect(asked).toEqual(["/ops/runs/r_1/log?after=2000000&limit=200"]);
  expect(box().scrollHeight).toBeLessThan(17_800_000);
});

test("who drags through a log asks for no page on the way", async () => {
  const asked = playLog(MILLION);
  shown(<RunLog run={runOf(MILLION)} />);
  await screen.findByText("line 1000000");
  for (let at = 0; at < 10; at += 1) {
    act(() => {
      box().scrollTop = 1_000_000 + at * 100_000;
    });
    await new Promise((done) => requestAnimationFrame(done));
  }
  await waitFor(() => expect(asked.length).toBeGreaterThan(0));
  await new Promise((done) => setTimeout(done, 200));
  expect(asked.length).toBeLessThan(4);
});

test("new lines come by the stream and are followed while one is at the end, and only then", async () => {
  const asked = playLog(1_000);
  shown(<RunLog run={runOf(1_000, { status: "running" })} />);
  await screen.findByText("line 1000");
  await waitFor(() => expect(streams.all[0]?.url).toBe("/ops/runs/r_1/log/stream?after=1000"));
  act(() => streams.all[0]?.tell("line", lineOf(1_001, "the newest")));
  expect(await screen.findByText("the newest")).toBeTruthy();
  expect(follow().getAttribute("aria-pressed")).toBe("true");
  act(() => {
    box().scrollTop = 5_000;
  });
  await waitFor(() => expect(follow().getAttribute("aria-pressed")).toBe("false"));
  act(() => streams.all[0]?.tell("line", lineOf(1_002, "not in view")));
  expect(await screen.findByText("of 1,002")).toBeTruthy();
  expect(screen.queryByText("not in view")).toBeNull();
  await userEvent.click(follow());
  expect(await screen.findByText("not in view")).toBeTruthy();
  expect(asked.every((each) => each.includes("/log?after="))).toBe(true);
});

test("a stream that has ended is left, and an ended run has none", async () => {
  playLog(10);
  const { unmount } = shown(<RunLog run={runOf(10, { status: "running" })} />);
  await waitFor(() => expect(streams.all.length).toBe(1));
  act(() => streams.all[0]?.tell("end", { status: "ended" }));
  expect(streams.all[0]?.closed).toBe(true);
  unmount();
  shown(<RunLog run={runOf(10)} />);
  await screen.findByText("line 10");
  expect(streams.all.length).toBe(1);
});

test("a stream that was refused is asked for again, from the last line that was heard", async () => {
  playLog(10);
  shown(<RunLog run={runOf(10, { status: "running" })} />);
  await waitFor(() => expect(streams.all.length).toBe(1));
  act(() => streams.all[0]?.tell("line", lineOf(11)));
  await screen.findByText("line 11");
  vi.useFakeTimers();
  act(() => streams.all[0]?.refuse());
  act(() => vi.advanceTimersByTime(5_000));
  vi.useRealTimers();
  expect(streams.all[1]?.url).toBe("/ops/runs/r_1/log/stream?after=11");
});

test("a hundred thousand lines a second are shown without a row too many", async () => {
  playLog(100);
  shown(<RunLog run={runOf(100, { status: "running" })} />);
  await waitFor(() => expect(streams.all.length).toBe(1));
  act(() => {
    for (let number = 101; number <= 20_000; number += 1) streams.all[0]?.tell("line", lineOf(number));
  });
  expect(await screen.findByText("line 20000")).toBeTruthy();
  expect(rows().length).toBeLessThan(200);
});

test("what is searched for is counted, gone to, marked and stepped through", async () => {
  const asked = playLog(MILLION, [5, 250_000, 900_000]);
  shown(<RunLog run={runOf(MILLION)} />);
  await screen.findByText("line 1000000");
  await userEvent.keyboard("/needle");
  expect(await screen.findByText("3 lines")).toBeTruthy();
  await userEvent.keyboard("{Enter}");
  expect(await screen.findByText("1 of 3")).toBeTruthy();
  await waitFor(() => expect(document.querySelectorAll("[data-chosen] mark").length).toBe(2));
  await userEvent.keyboard("{Enter}");
  expect(await screen.findByText("2 of 3")).toBeTruthy();
  await userEvent.keyboard("{Shift>}{Enter}{/Shift}");
  expect(await screen.findByText("1 of 3")).toBeTruthy();
  act(() => box().focus());
  await userEvent.keyboard("N");
  expect(await screen.findByText("3 of 3")).toBeTruthy();
  expect(asked.filter((each) => each.includes("/search")).length).toBe(10);
});

test("nothing in a line is more than text", async () => {
  playLog(3);
  const log = [
    lineOf(1, "<img src=x onerror=alert(1)>"),
    lineOf(2, "a\u202eb\u0007c"),
    lineOf(3, "\u001b[31mred\u001b[0m"),
  ];
  const { container } = shown(<RunLog run={runOf(3, { log })} />);
  expect(await screen.findByText("<img src=x onerror=alert(1)>")).toBeTruthy();
  expect(screen.getByText("a<U+202E>b<U+0007>c")).toBeTruthy();
  expect(screen.getByText("red")).toBeTruthy();
  expect(container.querySelector("img")).toBeNull();
});

test("a log that was archived says where it is", async () => {
  shown(<RunLog run={runOf(0, { archived_at: "2026-01-02T00:00:00.000Z" })} />);
  expect(await screen.findByText(/in the archive/)).toBeTruthy();
});
