import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { expect, test } from "vitest";
import { page } from "vitest/browser";
import { ALICE, DEFAULTS, DRAFT, network, shown } from "../../testing";
import type { Draft } from "../../types";
import PromptFactory from "./PromptFactory";
import ReviewPanel from "./ReviewPanel";

const many = (from: number, count: number): Draft[] =>
  Array.from({ length: count }, (_, n) => ({ ...DRAFT, id: `d_${from + n}`, prompt: `number ${from + n}` }));
const LIST = "GET /ops/drafts";

test("the list is a table as the seed names it, and hides nothing", async () => {
  network({ [LIST]: [{ ...DRAFT, provider: "local", prompt: "a\u202eb <img src=x onerror=alert(1)>\nmore" }] });
  const { container } = shown(<ReviewPanel id={undefined} me={ALICE} />, "/review");
  const table = await screen.findByRole("table", { name: "Drafts" });
  expect(
    within(table)
      .getAllByRole("columnheader")
      .map((each) => each.textContent),
  ).toEqual(["ID", "Prompt", "Provider", "Status", "Who", "When", "Actions"]);
  const [, row] = within(table).getAllByRole("row");
  for (const words of ["d_1", "aU+202Eb <img src=x onerror=alert(1)>", "local", "draft", "agent:robot"]) {
    expect(row?.textContent).toContain(words);
  }
  expect(container.querySelector("img")).toBeNull();
  expect(within(table).getByRole("link", { name: "Review d_1" }).getAttribute("href")).toBe("/review/d_1");
});

test("older drafts are a page further, behind the last one", async () => {
  const answers: Record<string, unknown> = { [LIST]: many(100, 50) };
  const asked = network(answers);
  shown(<ReviewPanel id={undefined} me={ALICE} />, "/review");
  await screen.findByText("number 149");
  answers[LIST] = many(150, 3);
  await userEvent.click(screen.getByRole("button", { name: "Older" }));
  expect(await screen.findByText("number 152")).toBeTruthy();
  expect(screen.getByText("number 100")).toBeTruthy();
  expect(asked.length).toBe(2);
  await waitFor(() => expect(screen.queryByRole("button", { name: "Older" })).toBeNull());
});

test("where nothing waits the next step is taught", async () => {
  network({ [LIST]: [] });
  shown(<ReviewPanel id={undefined} me={ALICE} />, "/review");
  expect((await screen.findByRole("link", { name: "Prompt Factory" })).getAttribute("href")).toBe("/factory");
});

test.each([
  ["light", 1280],
  ["dark", 1280],
  ["light", 390],
  ["dark", 390],
])("review, edit and factory have no fault for axe: %s, %d px", async (theme, width) => {
  await page.viewport(width, 860);
  document.documentElement.dataset.theme = theme;
  const line = (mark: string, changed: boolean) => ({
    mark,
    parts: [
      { text: "one\u202e ", changed: false },
      { text: "two", changed },
    ],
    count: 1,
  });
  const difference = {
    draft_id: "d_1",
    version: 3,
    to: "previous",
    other: "d_1",
    other_version: 2,
    by: "x",
    at: null,
    sentence: "compared",
    fields: [{ name: "prompt", lines: [line("removed", true), line("added", true), line("same", false)] }],
  };
  network({
    [LIST]: [DRAFT],
    "GET /ops/drafts/d_1": { ...DRAFT, prompt: "a\u202eb" },
    "GET /ops/defaults": DEFAULTS,
    "GET /ops/drafts/d_1/difference": difference,
    "GET /ops/drafts/d_1/versions": [],
  });
  const faults = async () => {
    const { violations } = await axe.run(document.body, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    });
    expect(document.body.scrollWidth).toBeLessThanOrEqual(width);
    return violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target).join(" ")}`);
  };
  const first = shown(<ReviewPanel id="d_1" me={ALICE} />, "/review/d_1");
  await screen.findByRole("list", { name: "Difference of prompt" });
  expect(await faults()).toEqual([]);
  await userEvent.click(screen.getByRole("button", { name: /^Edit/ }));
  await userEvent.type(screen.getByLabelText("Prompt"), " c");
  expect(await faults()).toEqual([]);
  first.unmount();
  const second = shown(<ReviewPanel id={undefined} me={ALICE} />, "/review");
  await screen.findByRole("table");
  expect(await faults()).toEqual([]);
  second.unmount();
  shown(<PromptFactory id={undefined} me={ALICE} />, "/factory");
  await userEvent.click(await screen.findByRole("button", { name: "Create draft" }));
  expect(await faults()).toEqual([]);
  delete document.documentElement.dataset.theme;
  await page.viewport(1280, 860);
});
