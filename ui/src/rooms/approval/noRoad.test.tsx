import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { ALICE, type Asked, DEFAULTS, DRAFT, network, shown } from "../../testing";
import PromptFactory from "./PromptFactory";
import ReviewPanel from "./ReviewPanel";

const DIFFERENCE = {
  draft_id: "d_1",
  version: 3,
  to: "approved",
  other: "a_1",
  other_version: null,
  by: "human:bob",
  at: DRAFT.created_at,
  sentence: "compared with a_1",
  fields: [{ name: "command", lines: [{ mark: "added", parts: [{ text: "make", changed: false }], count: 1 }] }],
};
const ANSWERS = {
  "GET /ops/defaults": DEFAULTS,
  "GET /ops/drafts": [DRAFT],
  "GET /ops/drafts/d_1": DRAFT,
  "GET /ops/drafts/d_1/difference": DIFFERENCE,
  "GET /ops/drafts/d_1/versions": [{ version: 3, how: "edited", by: "human:bob", at: DRAFT.created_at, reason: "" }],
  "GET /ops/provider": { active: "local", providers: {} },
  "POST /ops/drafts": DRAFT,
  "POST /ops/generate": DRAFT,
  "PUT /ops/drafts/d_1": DRAFT,
  "POST /ops/drafts/d_1/approve": { approved: { id: "a_1" }, run: null },
  "POST /ops/drafts/d_1/reject": DRAFT,
};
/** All that a draft's screens may ask for; whatever starts something is not among it. */
const MAY_ASK = new Set(Object.keys(ANSWERS));
const MAY_LEAD_TO = /^\/(review(\/d_1)?(\?status=\w+)?|factory|provider)$/;
const INTERACTIVE = "button, a[href], input, textarea, select, summary, [role=button], [tabindex]";

function nothingStarts(asked: readonly Asked[]) {
  for (const { method, path } of asked) expect(MAY_ASK).toContain(`${method} ${path}`);
}

function everyLinkIsSafe(container: HTMLElement) {
  for (const link of container.querySelectorAll("a[href]")) expect(link.getAttribute("href")).toMatch(MAY_LEAD_TO);
  for (const form of container.querySelectorAll("form")) expect(form.getAttribute("action")).toBeNull();
}

interface Walk {
  screen: ReactNode;
  ready: () => Promise<unknown>;
}
const review = (id?: string): Walk["screen"] => <ReviewPanel id={id} me={ALICE} />;
const approveShown = () => screen.findByRole("button", { name: /Approve/ });
const WALKS: Record<string, Walk> = {
  "the factory by hand": {
    screen: <PromptFactory id={undefined} me={ALICE} />,
    ready: async () => userEvent.type(await screen.findByLabelText("Prompt"), "sweep"),
  },
  "the factory with the provider": {
    screen: <PromptFactory id={undefined} me={ALICE} />,
    ready: async () => userEvent.click(await screen.findByRole("button", { name: "with the provider" })),
  },
  "the list": { screen: review(), ready: () => screen.findByRole("table") },
  "a draft": { screen: review("d_1"), ready: approveShown },
  "an approval": { screen: review("d_1"), ready: async () => userEvent.click(await approveShown()) },
  "a rejection": {
    screen: review("d_1"),
    ready: async () => userEvent.click(await screen.findByRole("button", { name: /Reject/ })),
  },
  "the difference to the last approval": {
    screen: review("d_1"),
    ready: async () => {
      await userEvent.click(await screen.findByRole("button", { name: "To the last approval" }));
      await screen.findByRole("list", { name: "Difference of command" });
    },
  },
  "an edit": {
    screen: review("d_1"),
    ready: async () => {
      await userEvent.click(await screen.findByRole("button", { name: /^Edit/ }));
      await userEvent.type(screen.getByLabelText("Prompt"), " and mop");
    },
  },
};

test.each(Object.keys(WALKS))(
  "no element of %s leads to a run",
  async (name) => {
    const asked = network(ANSWERS);
    const walk = WALKS[name];
    if (!walk) throw new Error(name);
    let count = Number.POSITIVE_INFINITY;
    let walked = 0;
    for (let place = 0; place < count; place += 1) {
      const { container, unmount } = shown(walk.screen, "/review/d_1");
      await walk.ready();
      everyLinkIsSafe(container);
      const elements = [...container.querySelectorAll<HTMLElement>(INTERACTIVE)];
      count = elements.length;
      const each = elements[place];
      if (each && !each.hasAttribute("disabled")) {
        walked += 1;
        await userEvent.click(each);
        everyLinkIsSafe(container);
        if (!(each instanceof HTMLTextAreaElement)) await userEvent.keyboard("{Enter}");
        everyLinkIsSafe(container);
      }
      unmount();
    }
    expect(walked).toBeGreaterThan(4);
    nothingStarts(asked);
  },
  60_000,
);

test.each(Object.keys(WALKS))(
  "no key on %s leads to a run",
  async (name) => {
    const asked = network(ANSWERS);
    const walk = WALKS[name];
    if (!walk) throw new Error(name);
    const { container } = shown(walk.screen, "/review/d_1");
    await walk.ready();
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    for (const key of "abcdefghijklmnopqrstuvwxyz0123456789") {
      for (const held of ["", "Shift", "Control", "Alt", "Meta"]) {
        await userEvent.keyboard(held ? `{${held}>}${key}{/${held}}` : key);
      }
      everyLinkIsSafe(container);
      await userEvent.keyboard("{Escape}");
    }
    await userEvent.keyboard("{Control>}{Enter}{/Control}{Shift>}{Enter}{/Shift}{Meta>}{Enter}{/Meta}{Enter}");
    nothingStarts(asked);
  },
  60_000,
);

test("what may be asked holds nothing that starts a run, and the walk does ask", async () => {
  expect([...MAY_ASK].filter((each) => /runs|queue|retry|start/.test(each))).toEqual([]);
  const asked = network(ANSWERS);
  shown(review("d_1"), "/review/d_1");
  await approveShown();
  await userEvent.keyboard("a{Enter}");
  await waitFor(() => expect(asked.map((each) => each.path)).toContain("/ops/drafts/d_1/approve"));
});
