import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { useLocation } from "wouter";
import { ALICE, DEFAULTS, DRAFT, LIMITS, network, problem, shown } from "../../testing";
import PromptFactory from "./PromptFactory";

const CREATE = "POST /ops/drafts";
const BASE = { "GET /ops/defaults": DEFAULTS, "GET /ops/provider": { active: "local", providers: {} } };

function Here() {
  const [at] = useLocation();
  return <output aria-label="address">{at}</output>;
}
let somebody = 0;
beforeEach(() => {
  somebody += 1;
}); // what is typed is kept, and is nobody else's
const factory = () => (
  <>
    <PromptFactory id={undefined} me={{ ...ALICE, id: `human:alice${somebody}` }} />
    <Here />
  </>
);
const button = (name: string) => screen.getByRole("button", { name });
const field = async (name: string, text: string) => {
  const found = await screen.findByLabelText<HTMLInputElement>(name);
  await userEvent.clear(found);
  if (text) await userEvent.type(found, text.replaceAll(/[[{]/g, "$&$&"));
};

test("a draft is sent as it was shown, and leads to its review", async () => {
  const asked = network({ ...BASE, [CREATE]: { ...DRAFT, id: "d_9" } });
  shown(factory());
  await field("Prompt", "write it\nwell");
  await field("Content", "the plan");
  await field("Context", "a note");
  await field("Repository", "/srv/code");
  await field("Agent command", `sh -c "echo 'it works'"`);
  await field("Checks", 'make test\n["make", "lint it"]');
  await field("wall clock seconds", "60");
  await userEvent.click(screen.getByLabelText("The agent may reach the network"));
  expect(screen.getByText("Will be started as these 3 words, without a shell:")).toBeTruthy();
  const [command] = screen.getAllByRole("group", { name: "Command" });
  expect(command?.textContent).toBe(`sh -c 'echo '\\''it works'\\'''`);
  expect(screen.getByText("1 min")).toBeTruthy();
  expect(
    screen.getByText(
      (line) =>
        line.startsWith("interlock draft create --prompt-file prompt.txt --content 'the plan' --context ") &&
        line.endsWith(" --no-network --limit wall_clock_seconds=60"),
    ),
  ).toBeTruthy();
  await userEvent.click(button("Create draft"));
  await waitFor(() => expect(screen.getByLabelText("address").textContent).toBe("/review/d_9"));
  const sent = asked.find((each) => each.method === "POST");
  expect(sent?.headers.get("idempotency-key")).toMatch(/^[0-9a-f]{32}$/);
  expect(sent?.body).toEqual({
    prompt: "write it\nwell",
    content: "the plan",
    context: { text: "a note" },
    work: {
      command: ["sh", "-c", "echo 'it works'"],
      repository: "/srv/code",
      base: null,
      agent: "command",
      model: null,
      tools: [],
      checks: [
        ["make", "test"],
        ["make", "lint it"],
      ],
      environment: [],
      needs: [],
      rung: null,
      network: false,
      limits: { wall_clock_seconds: 60 },
    },
  });
});

test("a double click makes one draft, and a lost answer is asked for by the same key", async () => {
  const answers: Record<string, unknown> = { ...BASE, [CREATE]: new TypeError("no network") };
  const asked = network(answers);
  shown(factory());
  await field("Prompt", "sweep");
  await userEvent.click(button("Create draft"));
  expect((await screen.findByRole("alert")).textContent).toContain("can not be reached");
  answers[CREATE] = DRAFT;
  await userEvent.dblClick(button("Create draft"));
  await waitFor(() => expect(screen.getByLabelText("address").textContent).toBe("/review/d_1"));
  const keys = asked.filter((each) => each.method === "POST").map((each) => each.headers.get("idempotency-key"));
  expect(new Set(keys).size).toBe(1);
});

test("what the server finds wrong stands beside its field, and is asked anew by another key", async () => {
  const wrong = {
    ...problem(422, "invalid_request", "body.work.limits is not valid"),
    errors: [{ loc: ["body", "work", "limits", "disk_bytes"], msg: "too much of it", type: "x" }],
  };
  const asked = network({ ...BASE, [CREATE]: wrong });
  shown(factory());
  await field("Prompt", "sweep");
  await userEvent.click(button("Create draft"));
  expect(await screen.findByText("too much of it")).toBeTruthy();
  const disk = screen.getByLabelText("disk bytes");
  expect(disk.getAttribute("aria-invalid")).toBe("true");
  expect(document.getElementById(disk.getAttribute("aria-describedby") ?? "")?.textContent).toBe("too much of it");
  await userEvent.click(button("Create draft"));
  await waitFor(() => expect(asked.filter((each) => each.method === "POST").length).toBe(2));
  const keys = asked.filter((each) => each.method === "POST").map((each) => each.headers.get("idempotency-key"));
  expect(new Set(keys).size).toBe(2);
});

test("what can not be right is said here and not sent", async () => {
  const asked = network({ ...BASE, [CREATE]: DRAFT });
  shown(factory());
  await field("Agent command", "sh -c 'open");
  await field("Checks", "make\n'half");
  await field("wall clock seconds", "1e3");
  await userEvent.click(button("Create draft"));
  for (const words of ["A draft needs a prompt.", "A quotation (') is not closed.", "A whole number above 0."]) {
    expect(screen.getByText(words)).toBeTruthy();
  }
  expect(screen.getByText(/^'half: /)).toBeTruthy();
  expect(asked.some((each) => each.method === "POST")).toBe(false);
});

test("the workspace's defaults are shown, and what will hold before it is sent", async () => {
  const work = {
    ...DEFAULTS.work,
    command: ["agent", "--go"],
    repository: "/srv/home",
    checks: [["make"]],
    limits: LIMITS,
  };
  network({ ...BASE, "GET /ops/defaults": { ...DEFAULTS, work } });
  shown(factory());
  await waitFor(() => expect(screen.getByLabelText("Agent command").getAttribute("placeholder")).toBe("agent --go"));
  expect(screen.getByLabelText("wall clock seconds").getAttribute("placeholder")).toBe("3600");
  expect(screen.getByRole("group", { name: "Command" }).textContent).toBe("agent --go");
  expect(screen.getByText("/srv/home")).toBeTruthy();
  await field("Agent command", "sh");
  expect(screen.queryByText("/srv/home")).toBeNull(); // all of the default agent, or nothing of it
});

test("what is typed outlives a look at another tab, in memory alone, and is nobody else's", async () => {
  network(BASE);
  const first = shown(factory());
  await field("Prompt", "half a thought <script>alert(1)</script> שלום 😀");
  first.unmount();
  expect(JSON.stringify([{ ...localStorage }, { ...sessionStorage }])).not.toContain("half a thought");
  const other = shown(<PromptFactory id={undefined} me={{ ...ALICE, id: "human:bob" }} />);
  expect((await screen.findByLabelText<HTMLInputElement>("Prompt")).value).toBe("");
  other.unmount();
  shown(factory());
  expect((await screen.findByLabelText<HTMLInputElement>("Prompt")).value).toBe(
    "half a thought <script>alert(1)</script> שלום 😀",
  );
});

test("the provider writes the draft where one is set up", async () => {
  const asked = network({ ...BASE, "POST /ops/generate": { ...DRAFT, id: "d_7" } });
  shown(factory());
  await field("Prompt", "sweep");
  await userEvent.click(button("with the provider"));
  expect(await screen.findByText("local")).toBeTruthy();
  expect(screen.queryByLabelText("Agent command")).toBeNull();
  expect(screen.getByText("interlock draft generate --prompt sweep")).toBeTruthy();
  await userEvent.click(button("Generate draft"));
  await waitFor(() => expect(screen.getByLabelText("address").textContent).toBe("/review/d_7"));
  expect(asked.find((each) => each.method === "POST")).toMatchObject({
    path: "/ops/generate",
    body: { prompt: "sweep", context: null },
  });
});

test("where no provider is set up it is taught how", async () => {
  network({
    ...BASE,
    "GET /ops/provider": problem(404, "provider_configuration_missing", "No providers.", "`interlock provider set`"),
  });
  shown(factory());
  await userEvent.click(await screen.findByRole("button", { name: "with the provider" }));
  expect((await screen.findByRole("alert")).textContent).toContain("interlock provider set");
  expect(screen.getByText(/by hand needs none/)).toBeTruthy();
});

test("who may not write drafts is offered no form", async () => {
  network(BASE);
  const view = shown(<PromptFactory id={undefined} me={{ ...ALICE, role: "operator" }} />);
  expect(screen.getByText(/takes the role admin; yours is operator/)).toBeTruthy();
  expect(screen.queryByRole("form")).toBeNull();
  view.unmount();
});

test("an agent is chosen by its name: its command is written later, and what it needs and has to prove is sent", async () => {
  const asked = network({ ...BASE, [CREATE]: { ...DRAFT, id: "d_9" } });
  shown(factory());
  await field("Prompt", "sweep");
  await userEvent.selectOptions(screen.getByLabelText("Agent"), "claude_code");
  await field("Model", "fast");
  await field("Tools", "Bash(git diff:*)\nEdit");
  await field("Needs", "gpu region=eu");
  await userEvent.selectOptions(screen.getByLabelText("Done when"), "checked");
  await field("tokens", "1000000");
  await field("cost microusd", "2500000");
  expect(screen.queryByRole("group", { name: "Command" })).toBeNull();
  expect(screen.getByText(/The command is written for/).textContent).toContain("claude_code");
  expect(screen.getByText("2.50 USD")).toBeVisible();
  expect(
    screen.getByText(
      "interlock draft create --prompt sweep --agent claude_code --agent-model fast --allow 'Bash(git diff:*)' " +
        "--allow Edit --need gpu --need region=eu --rung checked --limit tokens=1000000 --limit cost_microusd=2500000",
    ),
  ).toBeVisible();
  await userEvent.click(button("Create draft"));
  await waitFor(() => expect(screen.getByLabelText("address").textContent).toBe("/review/d_9"));
  expect(asked.find((each) => each.method === "POST")?.body).toMatchObject({
    work: {
      agent: "claude_code",
      model: "fast",
      tools: ["Bash(git diff:*)", "Edit"],
      command: null,
      needs: ["gpu", "region=eu"],
      rung: "checked",
      limits: { tokens: 1_000_000, cost_microusd: 2_500_000 },
    },
  });
});

test("a model beside an own command is refused before anything is sent, and 0 is no limit of tokens only", async () => {
  const asked = network({ ...BASE, [CREATE]: DRAFT });
  shown(factory());
  await field("Prompt", "sweep");
  await field("Model", "fast");
  await field("Agent command", "make");
  await field("tokens", "0");
  await field("wall clock seconds", "0");
  await userEvent.click(button("Create draft"));
  expect(screen.getByText(/^Shapes the command that is written for an agent/)).toBeVisible();
  expect(screen.getAllByText("A whole number above 0.")).toHaveLength(1);
  expect(asked.some((each) => each.method === "POST")).toBe(false);
});
