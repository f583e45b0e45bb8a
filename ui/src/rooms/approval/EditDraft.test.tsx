import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, DEFAULTS, DRAFT, network, problem, shown } from "../../testing";
import { DraftDetail } from "./DraftDetail";

const EDIT = "PUT /ops/drafts/d_1";
const PLAIN = { ...DRAFT, prompt: "sweep\nthe floor", content: "a plan" };
const BASE = { "GET /ops/drafts/d_1": PLAIN, "GET /ops/defaults": DEFAULTS, "GET /ops/drafts/d_1/versions": [] };

async function opened(answers: Readonly<Record<string, unknown>>) {
  const asked = network(answers);
  const view = shown(<DraftDetail id="d_1" me={ALICE} />);
  await screen.findByRole("button", { name: /^Edit/ });
  await userEvent.keyboard("e");
  return { asked, ...view };
}
const put = (asked: { method: string }[]) => asked.find((each) => each.method === "PUT");
const field = (name: string) => screen.getByLabelText<HTMLInputElement>(name);

test("an edit names what changed, why, and the version that was shown", async () => {
  const { asked } = await opened({ ...BASE, [EDIT]: { ...PLAIN, version: 4 } });
  expect(screen.getByRole("button", { name: "Edit" })).toHaveProperty("disabled", true);
  await userEvent.type(field("Prompt"), " well");
  await userEvent.type(field("Reason"), "it was not enough");
  expect(screen.getByRole("group", { name: "version 3, as it is: prompt" }).textContent).toBe("sweep\nthe floor");
  expect(screen.getByRole("group", { name: "yours: prompt" }).textContent).toBe("sweep\nthe floor well");
  expect(
    screen.getByText(/^interlock draft edit d_1 --version 3 --prompt-file prompt.txt --reason 'it was not enough'$/),
  ).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  const sent = await waitFor(() => put(asked) ?? Promise.reject(new Error("not yet")));
  expect(sent).toMatchObject({ body: { prompt: "sweep\nthe floor well", reason: "it was not enough" } });
  expect(Object.keys((sent as { body?: object }).body ?? {})).toEqual(["prompt", "reason"]);
  expect((sent as { headers?: Headers }).headers?.get("if-match")).toBe('"3"');
  await screen.findByRole("button", { name: /Approve/ });
});

test("an edit of what runs keeps the commit that was shown, and all that was not touched", async () => {
  const { asked } = await opened({ ...BASE, [EDIT]: PLAIN });
  await userEvent.clear(field("Agent command"));
  await userEvent.type(field("Agent command"), "make");
  expect(screen.getByText(/^interlock draft edit d_1 --version 3 --command make$/)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  const sent = await waitFor(() => put(asked) ?? Promise.reject(new Error("not yet")));
  expect(sent).toMatchObject({
    body: {
      work: {
        command: ["make"],
        repository: "/srv/code",
        base: "main",
        base_commit: "c0ffee",
        network: false,
        limits: DRAFT.work.limits,
      },
    },
  });
});

test("a version that nobody looked at is not overwritten: both are shown, and what was typed stays", async () => {
  const answers: Record<string, unknown> = {
    ...BASE,
    [EDIT]: problem(412, "precondition_failed", "d_1 is at version 4, not 3"),
  };
  const { asked } = await opened(answers);
  await userEvent.type(field("Prompt"), " well");
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  expect((await screen.findByRole("alert")).textContent).toContain("d_1 is at version 4, not 3");
  answers["GET /ops/drafts/d_1"] = { ...PLAIN, version: 4, prompt: "mop\nthe floor" };
  await userEvent.click(screen.getByRole("button", { name: "Show both versions" }));
  expect((await screen.findByRole("group", { name: "version 4, as it is: prompt" })).textContent).toBe(
    "mop\nthe floor",
  );
  expect(screen.getByRole("group", { name: "yours: prompt" }).textContent).toBe("sweep\nthe floor well");
  expect(field("Prompt").value).toBe("sweep\nthe floor well");
  answers[EDIT] = PLAIN;
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  await waitFor(() =>
    expect(
      asked
        .filter((each) => each.method === "PUT")
        .at(-1)
        ?.headers.get("if-match"),
    ).toBe('"4"'),
  );
});

test("what was decided while somebody typed is said, and what was typed can be copied", async () => {
  const answers: Record<string, unknown> = {
    ...BASE,
    [EDIT]: problem(409, "draft_decided", "d_1 has been approved by human:bob"),
  };
  await opened(answers);
  await userEvent.type(field("Prompt"), " well");
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  await screen.findByRole("alert");
  answers["GET /ops/drafts/d_1"] = { ...PLAIN, version: 4, status: "approved", decided_by: "human:bob" };
  await userEvent.click(screen.getByRole("button", { name: "Show both versions" }));
  expect(await screen.findByText(/It is approved by now, by human:bob/)).toBeTruthy();
  expect(field("Prompt").value).toBe("sweep\nthe floor well");
});

test("going back and coming again costs no word", async () => {
  await opened(BASE);
  await userEvent.type(field("Prompt"), " well");
  await userEvent.click(screen.getByRole("button", { name: "Back" }));
  await userEvent.click(screen.getByRole("button", { name: /^Edit/ }));
  expect(field("Prompt").value).toBe("sweep\nthe floor well");
});

test("who may not edit is not offered it", async () => {
  network(BASE);
  shown(<DraftDetail id="d_1" me={{ ...ALICE, role: "operator" }} />);
  await screen.findByRole("group", { name: "Prompt" });
  await userEvent.keyboard("e");
  expect(screen.queryByRole("form")).toBeNull();
});

test("a field says what it would not show", async () => {
  await opened({ ...BASE, "GET /ops/drafts/d_1": { ...PLAIN, prompt: "one\u202etxt.exe" } });
  expect(screen.getByText("Holds characters that are not seen: U+202E")).toBeTruthy();
});

const LED = {
  ...PLAIN,
  work: {
    ...PLAIN.work,
    agent: "an_agent_of_tomorrow",
    model: "fast",
    tools: ["Edit"],
    command: null,
    needs: ["gpu"],
    rung: "ci",
  },
};

test("an edit of anything else keeps the agent, what it needs and what it has to prove", async () => {
  const { asked } = await opened({ ...BASE, "GET /ops/drafts/d_1": LED, [EDIT]: LED });
  expect(field("Agent").value).toBe("an_agent_of_tomorrow");
  await userEvent.type(field("Environment"), "CI");
  await userEvent.click(screen.getByRole("button", { name: "Edit" }));
  const sent = await waitFor(() => put(asked) ?? Promise.reject(new Error("not yet")));
  expect(sent).toMatchObject({
    body: {
      work: {
        agent: "an_agent_of_tomorrow",
        model: "fast",
        tools: ["Edit"],
        command: null,
        needs: ["gpu"],
        rung: "ci",
        limits: { tokens: 0, cost_microusd: 0 },
      },
    },
  });
});

test("another agent over the same command is said as the command line would say it", async () => {
  await opened(BASE);
  await userEvent.selectOptions(field("Agent"), "codex");
  expect(screen.getByRole("group", { name: "yours: agent" }).textContent).toBe("codex");
  expect(
    screen.getByText((line) => line.startsWith("interlock draft edit d_1 --version 3 --agent codex --command 'sh -c ")),
  ).toBeVisible();
});
