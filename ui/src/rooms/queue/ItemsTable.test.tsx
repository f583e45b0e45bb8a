import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { problem } from "../../testing";
import { box, item, PATIENT, queue, rows, scrolled, server } from "./testing.queue";

test("of a hundred thousand items only those in sight are there, and more come as one scrolls", async () => {
  const { list } = server();
  const { container } = queue();
  expect(await screen.findByText("ORCH-1")).toBeTruthy();
  expect(screen.getByText(/100,000 items/)).toBeTruthy();
  expect(screen.getByRole("table").getAttribute("aria-rowcount")).toBe("100001");
  expect(rows()).toBeLessThan(60);
  for (const far of [4_000, 20_000, 40_000]) await scrolled(far);
  expect(rows()).toBeLessThan(60);
  expect(container.querySelectorAll("*").length).toBeLessThan(1_500);
  const limits = list().map(({ url }) => url.searchParams.get("limit"));
  expect(limits[0]).toBe("100");
  expect(list().length).toBeLessThan(8);
});

test("filters are links, they stand in the address, and the server is asked for exactly them", async () => {
  const { asked, list } = server();
  queue("/queue?priority=P0");
  await screen.findByText("ORCH-1");
  const failed = await screen.findByRole("link", { name: /FAILED 5,000/ });
  expect(failed.getAttribute("href")).toBe("/queue?priority=P0&status=FAILED");
  await userEvent.click(failed);
  await userEvent.type(screen.getByLabelText("Text"), "mail & more{Enter}");
  await waitFor(() => expect(list().at(-1)?.url.search).toContain("text=mail"));
  const words = Object.fromEntries(list().at(-1)?.url.searchParams ?? []);
  expect(words).toEqual({ priority: "P0", status: "FAILED", text: "mail & more", limit: "100" });
  const counted = asked.filter(({ url }) => url.pathname === "/ops/queue/count").at(-1);
  expect(Object.fromEntries(counted?.url.searchParams ?? [])).toEqual({
    priority: "P0",
    status: "FAILED",
    text: "mail & more",
  });
  await userEvent.click(screen.getByRole("link", { name: "Clear" }));
  await waitFor(() => expect(screen.getByLabelText("Text")).toHaveProperty("value", ""));
  expect(screen.queryByRole("link", { name: "Clear" })).toBeNull();
});

test("columns are chosen by the address", async () => {
  server();
  queue("/queue?columns=id,notes");
  await screen.findByText("ORCH-1");
  const heads = () => screen.getAllByRole("columnheader").map((each) => each.textContent);
  expect(heads()).toEqual(["Selected", "ID", "Notes"]);
  await userEvent.click(screen.getByText("Columns"));
  await userEvent.click(screen.getByLabelText("Due"));
  await waitFor(() => expect(heads()).toEqual(["Selected", "ID", "Due", "Notes"]));
});

test("what is picked stays picked when one scrolls and when items change; another filter forgets it", async () => {
  const { list } = server();
  const { queries } = queue();
  await userEvent.click(await screen.findByRole("checkbox", { name: "Select ORCH-2" }));
  await userEvent.click(screen.getByRole("checkbox", { name: "Select ORCH-3" }));
  expect(screen.getByText("2 picked")).toBeTruthy();
  box().scrollTop = 30_000;
  await waitFor(() => expect(screen.queryByText("ORCH-2")).toBeNull());
  await act(() => queries.invalidateQueries({ queryKey: ["queue"] }));
  box().scrollTop = 0;
  const second = await screen.findByRole("checkbox", { name: "Select ORCH-2" });
  expect(second).toHaveProperty("checked", true);
  expect(screen.getByText("2 picked")).toBeTruthy();
  await userEvent.click(screen.getByRole("link", { name: /DONE/ }));
  await waitFor(() => expect(list().at(-1)?.url.searchParams.get("status")).toBe("DONE"));
  expect(screen.queryByText("2 picked")).toBeNull();
});

test("an event renews only the pages in sight, and what is looked at stays where it is", async () => {
  const { asked, state } = server();
  const { queries } = queue();
  await screen.findByText("ORCH-1");
  await scrolled(40_000);
  const top = box().scrollTop;
  const inSight = () => {
    const head = box().getBoundingClientRect().top + 40;
    return screen.getAllByRole("row").find((row) => row.getBoundingClientRect().bottom > head + 36)?.textContent;
  };
  const before = inSight();
  asked.length = 0;
  state.first = Math.floor(top / 36) - 10; // all but a few of the items above are gone
  await act(() => queries.invalidateQueries({ queryKey: ["told"] }));
  await waitFor(() => expect(asked.some(({ url }) => url.pathname === "/ops/queue/items")).toBe(true), PATIENT);
  await waitFor(() => expect(box().scrollTop).toBeLessThan(top), PATIENT);
  expect(inSight()).toBe(before);
  expect(asked.filter(({ url }) => url.pathname === "/ops/queue/items").length).toBeLessThanOrEqual(2);
});

test("j and k walk, x picks", async () => {
  server();
  queue("/queue");
  await screen.findByText("ORCH-1");
  fireEvent.keyDown(document.body, { key: "j" });
  expect(await screen.findByRole("complementary", { name: "Item" })).toBeTruthy();
  fireEvent.keyDown(document.body, { key: "j" });
  await waitFor(() => expect(document.querySelector('[data-current="true"]')?.textContent).toContain("ORCH-2"));
  fireEvent.keyDown(document.body, { key: "x" });
  expect(await screen.findByText("1 picked")).toBeTruthy();
});

test("a list that can not be had says so and is asked for again", async () => {
  let down = true;
  server({ "GET /ops/queue/items": () => (down ? problem(503, "unreachable", "The database is away.") : [item(1)]) });
  queue();
  expect(await screen.findByText("The database is away.")).toBeTruthy();
  down = false;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText("ORCH-1")).toBeTruthy();
});

test("an empty queue teaches the next step", async () => {
  server({ "GET /ops/queue/items": () => [], "GET /ops/queue/count": () => ({ items: 0, by_status: {} }) });
  queue();
  expect(await screen.findByText(/interlock queue add/)).toBeTruthy();
});
