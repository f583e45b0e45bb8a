import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";
import { Route } from "wouter";
import { App } from "../../App";
import { KINDS } from "../../api/kinds";
import { ALICE, network, problem, ROBOT, shown, WHOLE } from "../../testing";
import type { FleetNode, Me } from "../../types";
import NodesView from "./NodesView";

const EVIL = "<img src=x onerror=alert(1)>";
const AT = "2026-01-01T00:00:00.000Z";
const NODE: FleetNode = {
  id: "n_1",
  status: "active",
  state: "active",
  name: `one ${EVIL}`,
  host: "alpha\u202e.example",
  version: "1.2.3",
  capabilities: ["git", "linux"],
  labels: ["gpu", "region=eu"],
  concurrency: 2,
  held: 1,
  reason: null,
  changed_by: null,
  since: AT,
  joined_at: AT,
  heartbeat_at: AT,
  stopped_at: null,
  lost_at: null,
  config_version: 2,
  notice: null,
};
const OTHER: FleetNode = { ...NODE, id: "n_2", name: "two", held: 0, config_version: 3 };
const SHUT: Partial<FleetNode> = {
  status: "quarantined",
  state: "quarantined",
  reason: EVIL,
  changed_by: "human:bob",
};
const LOST: Partial<FleetNode> = { status: "lost", lost_at: AT };
const HELD = { id: "ORCH-1", run_id: "r_1", task: `sweep ${EVIL}`, started_at: AT };
const CONFIG = { id: "3", status: "published", version: 3, digest: "", reason: EVIL, by: "human:alice", at: AT };

function world(changes: Partial<FleetNode> = {}, more: Readonly<Record<string, unknown>> = {}) {
  return {
    "GET /ops/nodes": [{ ...NODE, ...changes }, OTHER],
    "GET /ops/nodes/leaders": [
      { id: "alerter", status: "leading", holder: "p_1", host: NODE.host, epoch: 4 },
      { id: "carrier", status: "leading", holder: "p_2", host: "beta", epoch: 1 },
      { id: "sign", status: "free", holder: "p_1", host: NODE.host, epoch: 9 },
    ],
    "GET /ops/config": [CONFIG],
    "GET /ops/queue/items": [HELD],
    ...more,
  };
}
function nodes(path = "/nodes/n_1", me: Me = ALICE) {
  return shown(<Route path="/nodes/*?">{(at) => <NodesView id={at["*"] || undefined} me={me} />}</Route>, path);
}
const article = () => screen.findByRole("article", { name: "Node" });
const verbs = () =>
  ["Drain", "Quarantine", "Resume", "Forget"].filter((name) => screen.queryByRole("button", { name }) !== null);
const posted = (asked: ReturnType<typeof network>) => asked.filter((each) => each.method === "POST");

afterEach(() => expect(document.querySelector("img")).toBeNull());

test("a node says how it is, what it can, what it follows, what it leads and what it holds, as text", async () => {
  network(world());
  nodes();
  const shownOf = await article();
  await within(shownOf).findByRole("link", { name: "ORCH-1" });
  for (const text of [
    ...["It lives, and takes work.", "gpu", "region=eu", "linux", "1.2.3", "2 runs a worker", "alerter"],
    ...["version 2; the newest is 3", "alpha<U+202E>.example", EVIL],
  ]) {
    expect(shownOf.textContent).toContain(text);
  }
  expect(shownOf.textContent).not.toContain("carrier");
  expect(shownOf.textContent).not.toContain("sign");
  expect(within(shownOf).getByRole("link", { name: "ORCH-1" })).toHaveAttribute("href", "/runs/r_1");
  expect(screen.getByText(/^Configuration 3, published by human:alice/).textContent).toContain(EVIL);
  expect(screen.getByRole("link", { name: /one/ }).textContent).toContain("holds 1 item");
});

test("j and k walk through the nodes", async () => {
  network(world());
  nodes("/nodes");
  await screen.findByRole("link", { name: /two/ });
  await userEvent.keyboard("jj");
  expect(await screen.findByRole("heading", { name: "two" })).toBeVisible();
  await userEvent.keyboard("k");
  expect(await screen.findByRole("heading", { name: /one/ })).toBeVisible();
});

test.each([
  ["Drain", "drain", {}, "it's hot"],
  ["Quarantine", "quarantine", { status: "draining", state: "draining" }, "it's odd"],
  ["Resume", "resume", SHUT, "it's well"],
  ["Forget", "forget", LOST, "it's gone"],
] as const)("%s is done by keyboard, says what it does and why, and is renewed", async (verb, word, changes, why) => {
  const asked = network(world(changes, { [`POST /ops/nodes/n_1/${word}`]: { ...NODE, ...changes } }));
  nodes();
  await article();
  screen.getByRole("button", { name: verb }).focus();
  await userEvent.keyboard("{Enter}");
  const form = screen.getByRole("form", { name: verb });
  await userEvent.type(within(form).getByRole("textbox", { name: /^Reason/ }), why);
  const line = `interlock node ${word} n_1 --reason '${why.replace("'", "'\\''")}'`;
  expect(within(form).getByText(line)).toBeVisible();
  expect(posted(asked)).toEqual([]);
  const before = asked.length;
  await userEvent.keyboard("{Enter}");
  await waitFor(() => expect(screen.queryByRole("form")).toBeNull());
  expect(posted(asked)).toMatchObject([{ path: `/ops/nodes/n_1/${word}`, body: { reason: why } }]);
  await waitFor(() => expect(asked.slice(before).map((each) => each.path)).toContain("/ops/nodes"));
});

test.each<[string, Partial<FleetNode>, string[]]>([
  ["one that works", {}, ["Drain", "Quarantine"]],
  ["one that is drained", { status: "drained", state: "draining" }, ["Quarantine", "Resume"]],
  ["one in quarantine", SHUT, ["Resume"]],
  ["one in quarantine that is gone", { ...SHUT, lost_at: AT }, ["Resume"]],
  ["one that is lost", LOST, ["Drain", "Quarantine", "Forget"]],
  ["one that has stopped", { status: "stopped", stopped_at: AT }, ["Drain", "Quarantine", "Forget"]],
])("what the server would refuse is not offered: %s", async (_, changes, offered) => {
  network(world(changes));
  nodes();
  await article();
  expect(verbs()).toEqual(offered);
});

test.each<[string, Me, Partial<FleetNode>, string[], RegExp | undefined]>([
  ["who may only look", { ...ALICE, role: "actions" }, {}, [], undefined],
  ["an agent", { ...ROBOT, role: "admin" }, {}, [], /Only a human or a service/],
  [
    "a service",
    { ...ROBOT, id: "service:ci", kind: "service", role: "operator" },
    {},
    ["Drain", "Quarantine"],
    undefined,
  ],
  [
    "a service",
    { ...ROBOT, id: "service:ci", kind: "service", role: "operator" },
    SHUT,
    [],
    /only a human lets it out/,
  ],
])("%s is offered what they may", async (_, me, changes, offered, told) => {
  network(world(changes));
  nodes("/nodes/n_1", me);
  await article();
  expect(verbs()).toEqual(offered);
  if (told) expect(screen.getByText(told)).toBeVisible();
});

test("a refusal is told in the server's words, and the question stays open", async () => {
  network(world({}, { "POST /ops/nodes/n_1/drain": problem(409, "node_state_conflict", "n_1 is draining already") }));
  nodes();
  await userEvent.click(await screen.findByRole("button", { name: "Drain" }));
  await userEvent.keyboard("why not{Enter}");
  expect((await screen.findByRole("alert")).textContent).toContain("n_1 is draining already");
  expect(screen.getByRole("textbox", { name: "Reason" })).toHaveValue("why not");
});

test("why it takes nothing, and what it wants somebody to know, stands above all", async () => {
  network(world({ ...SHUT, notice: "restart needed for [alerts]" }));
  nodes();
  const standing = await screen.findByRole("region", { name: "How it is" });
  for (const text of ["It is not trusted", "human:bob", EVIL, "restart needed for [alerts]"]) {
    expect(standing.textContent).toContain(text);
  }
});

test("one that was forgotten says so, and is listed no more", async () => {
  const answers: Record<string, unknown> = world(LOST, { "POST /ops/nodes/n_1/forget": { ...NODE, ...LOST } });
  network(answers);
  nodes();
  await userEvent.click(await screen.findByRole("button", { name: "Forget" }));
  answers["GET /ops/nodes"] = [OTHER];
  await userEvent.click(screen.getByRole("button", { name: "Forget" }));
  expect(await screen.findByText(/It is forgotten, and listed no more/)).toBeVisible();
  await waitFor(() => expect(screen.queryByRole("link", { name: /one/ })).toBeNull());
  expect(verbs()).toEqual([]);
});

test("an address of no node says so, and a fleet of none says how one joins", async () => {
  network(world());
  const view = nodes("/nodes/n_9");
  expect(await screen.findByRole("heading", { name: "There is no such node" })).toBeVisible();
  view.unmount();
  network({ "GET /ops/nodes": [], "GET /ops/config": [] });
  nodes("/nodes");
  expect(await screen.findByRole("heading", { name: "No node has joined yet" })).toBeVisible();
  expect(await screen.findByText(/No configuration is published/)).toBeVisible();
});

test("what happens to a node is seen as it happens", async () => {
  class Stream extends EventTarget {
    static last: Stream | undefined;
    onopen: (() => void) | null = null;
    onerror: (() => void) | null = null;
    constructor() {
      super();
      Stream.last = this;
    }
    close() {
      // nothing is open
    }
  }
  vi.stubGlobal("EventSource", Stream);
  history.replaceState(null, "", "/nodes/n_1");
  const answers: Record<string, unknown> = { ...WHOLE, ...world() };
  network(answers);
  render(<App />);
  const standing = await screen.findByRole("region", { name: "How it is" });
  expect(standing.textContent).toContain("It lives");
  answers["GET /ops/nodes"] = [{ ...NODE, ...LOST }, OTHER];
  act(() => void Stream.last?.dispatchEvent(new Event("node.lost")));
  await waitFor(() => expect(screen.getByRole("region", { name: "How it is" }).textContent).toContain("given up"));
  expect(KINDS["/ops/nodes"]).toContain("item.claimed"); // what it holds
  const bar = screen.getByRole("navigation", { name: "Maintenance" });
  expect([...bar.querySelectorAll("a")].map((each) => each.textContent).slice(0, 2)).toEqual(["Status", "Nodes"]);
});
