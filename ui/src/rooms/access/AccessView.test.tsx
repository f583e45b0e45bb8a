import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import type { LogPage, Token } from "../../types";
import AccessView from "./AccessView";
import AuditView from "./AuditView";

const HOSTILE = "<img src=x onerror=alert(1)>";
const SECRET = "ilk_01AAAAAAAAAAAAAAAAAAAAAAAA_the-secret-that-is-shown-once-and-never-again";
const TOKEN: Token = {
  id: "t_2",
  status: "valid",
  name: HOSTILE,
  principal: "service:ci",
  kind: "service",
  role: "operator",
  created_at: "2026-01-01T00:00:00.000Z",
  created_by: "human:alice",
  expires_at: null,
  rotated_at: null,
  old_until: "2026-01-02T00:00:00.000Z",
  revoked_at: null,
  revoked_by: null,
  last_used_at: null,
};
const OWN: Token = { ...TOKEN, id: "t_1", name: "alice", principal: "human:alice", kind: "human", role: "admin" };
const GONE: Token = {
  ...TOKEN,
  id: "t_3",
  name: "gone",
  status: "revoked",
  revoked_at: "2026-01-01T00:00:00.000Z",
  revoked_by: "human:bob",
};
const ANSWERS = { "GET /ops/tokens": [TOKEN, OWN, GONE] };

afterEach(() => expect(document.querySelector("img")).toBeNull());

/** Everything in which a browser could keep it. */
function kept(queries: { getQueryCache: () => unknown; getMutationCache: () => unknown }) {
  const cached = [queries.getQueryCache(), queries.getMutationCache()].map((cache) =>
    (cache as { getAll: () => { state: unknown }[] }).getAll().map((each) => each.state),
  );
  return JSON.stringify([
    cached,
    { ...localStorage },
    { ...sessionStorage },
    document.cookie,
    location.href,
    history.state,
  ]);
}

describe("making a token", () => {
  test("shows its text once, and nothing has it when that is closed", async () => {
    const asked = network({ ...ANSWERS, "POST /ops/tokens": { ...TOKEN, id: "t_9", token: SECRET } });
    const { queries } = shown(<AccessView id={undefined} me={ALICE} />, "/access");
    await userEvent.type(await screen.findByLabelText("Name"), "ci");
    await userEvent.selectOptions(screen.getByLabelText("Role"), "operator");
    expect(
      screen.getByText("interlock token create --name ci --kind service --role operator --expires-in 90d"),
    ).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Create" }));
    expect(await screen.findByText(SECRET)).toBeTruthy();
    expect(asked.find((each) => each.method === "POST")?.body).toEqual({
      name: "ci",
      kind: "service",
      role: "operator",
      principal: null,
      expires_in_seconds: 90 * 86_400,
    });
    expect(kept(queries)).not.toContain(SECRET);
    await userEvent.click(screen.getByRole("button", { name: "I have it, close" }));
    expect(document.documentElement.outerHTML).not.toContain(SECRET);
    expect(screen.getByLabelText<HTMLInputElement>("Name").value).toBe("");
    expect(kept(queries)).not.toContain(SECRET);
    expect(asked.filter((each) => each.path === "/ops/tokens" && each.method === "GET").length).toBeGreaterThan(1);
  });

  test("that is left unclosed is gone with the screen", async () => {
    network({ ...ANSWERS, "POST /ops/tokens": { ...TOKEN, token: SECRET } });
    const { unmount, queries } = shown(<AccessView id="new" me={ALICE} />, "/access/new");
    await userEvent.type(await screen.findByLabelText("Name"), "ci{Enter}");
    await screen.findByText(SECRET);
    unmount();
    expect(document.documentElement.outerHTML).not.toContain(SECRET);
    expect(kept(queries)).not.toContain(SECRET);
  });

  test("a human's is offered only to a human, and to an agent none at all", async () => {
    network(ANSWERS);
    const human = shown(<AccessView id={undefined} me={ALICE} />, "/access");
    expect(within(await screen.findByLabelText("Kind")).getByRole("option", { name: /human/ })).toBeTruthy();
    human.unmount();
    const service = shown(<AccessView id={undefined} me={{ ...ROBOT, kind: "service" }} />, "/access");
    expect(within(await screen.findByLabelText("Kind")).queryByRole("option", { name: /human/ })).toBeNull();
    service.unmount();
    shown(<AccessView id={undefined} me={ROBOT} />, "/access");
    await screen.findByText(/Agents never manage tokens/);
    expect(screen.queryByRole("button", { name: "Create" })).toBeNull();
  });

  test("a refusal is told in the server's words, and the form is as it was", async () => {
    network({ ...ANSWERS, "POST /ops/tokens": problem(423, "panic_mode", "Panic mode is on: nothing new begins.") });
    shown(<AccessView id={undefined} me={ALICE} />, "/access");
    await userEvent.type(await screen.findByLabelText("Name"), "ci{Enter}");
    expect((await screen.findByRole("alert")).textContent).toContain("Panic mode is on");
    expect(screen.getByLabelText<HTMLInputElement>("Name").value).toBe("ci");
  });
});

describe("a token", () => {
  test("is rotated with a grace; the new text is shown once", async () => {
    const asked = network({ ...ANSWERS, "POST /ops/tokens/t_2/rotate": { ...TOKEN, token: SECRET } });
    const { queries } = shown(<AccessView id="t_2" me={ALICE} />, "/access/t_2");
    await userEvent.click(await screen.findByRole("button", { name: "Rotate" }));
    await userEvent.selectOptions(screen.getByLabelText("The old text ends"), "1h");
    expect(screen.getByText("interlock token rotate t_2 --grace 1h")).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "Rotate" }));
    expect(await screen.findByText(SECRET)).toBeTruthy();
    expect(asked.find((each) => each.method === "POST")?.body).toEqual({ grace_seconds: 3_600 });
    await userEvent.click(screen.getByRole("button", { name: "I have it, close" }));
    expect(document.documentElement.outerHTML).not.toContain(SECRET);
    expect(kept(queries)).not.toContain(SECRET);
  });

  test("is revoked with a reason", async () => {
    const asked = network({ ...ANSWERS, "POST /ops/tokens/t_2/revoke": { ...TOKEN, status: "revoked" } });
    shown(<AccessView id="t_2" me={ALICE} />, "/access/t_2");
    await userEvent.click(await screen.findByRole("button", { name: "Revoke" }));
    await userEvent.type(screen.getByLabelText("Reason"), "laptop lost{Enter}");
    await waitFor(() => expect(asked.find((each) => each.method === "POST")?.body).toEqual({ reason: "laptop lost" }));
  });

  test("of one's own session is not rotated where its text could not be copied", async () => {
    network(ANSWERS);
    shown(<AccessView id="t_1" me={ALICE} />, "/access/t_1");
    expect(await screen.findByText(/this session would end before you could copy it/)).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Rotate" })).toBeNull();
  });

  test("that has ended has no verbs, and says who ended it", async () => {
    network(ANSWERS);
    shown(<AccessView id="t_3" me={ALICE} />, "/access/t_3");
    expect((await screen.findByRole("article", { name: "Token gone" })).textContent).toContain("by human:bob");
    expect(screen.queryByRole("button", { name: /Rotate|Revoke/ })).toBeNull();
  });

  test("of a human is not rotated by a service", async () => {
    network(ANSWERS);
    shown(<AccessView id="t_1" me={{ ...ROBOT, kind: "service", token_id: "t_7" }} />, "/access/t_1");
    expect(await screen.findByRole("button", { name: "Revoke" })).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Rotate" })).toBeNull();
  });

  test("says what it proves, whose text still counts, and where its story is", async () => {
    network(ANSWERS);
    shown(<AccessView id="t_2" me={ALICE} />, "/access/t_2");
    const detail = await screen.findByRole("article", { name: `Token ${HOSTILE}` });
    expect(detail.textContent).toContain("old text counts until");
    expect(within(detail).getByRole("link", { name: "What happened to it" }).getAttribute("href")).toBe(
      "/audit?subject=t_2",
    );
  });
});

test("who is no admin is told so, and no list is asked for", async () => {
  const asked = network({});
  shown(<AccessView id={undefined} me={{ ...ALICE, role: "operator" }} />, "/access");
  expect(await screen.findByText("Tokens are listed and made by admins.")).toBeTruthy();
  expect(asked).toEqual([]);
});

describe("the audit", () => {
  const ENTRIES: LogPage = {
    entries: [
      {
        index: 8,
        kind: "access.denied",
        subject: "access",
        principal: "service:access",
        correlation_id: null,
        time: "2026-01-01T00:00:00.000Z",
        payload: { code: "token_invalid", deed: "", source: "10.0.0.1", times: 3 },
      },
      {
        index: 7,
        kind: "draft.rejected",
        subject: "d_1",
        principal: "human:alice",
        correlation_id: "req-1",
        time: "2026-01-01T00:00:00.000Z",
        payload: { reason: HOSTILE },
      },
    ],
    size: 9,
    searched_from: 0,
    searched_to: 9,
    next: null,
  };
  const log = { "GET /ops/evidence/entries": ENTRIES };

  test("says who did what and why, each a link to more of it", async () => {
    network(log);
    shown(<AuditView id={undefined} me={ALICE} />, "/audit?outcome=denied");
    const [, denied, rejected] = await screen.findAllByRole("row");
    expect(denied?.textContent).toContain("token_invalid · from 10.0.0.1 · 3 times");
    expect(rejected?.textContent).toContain(HOSTILE);
    const href = (name: string) =>
      within(rejected ?? document.body)
        .getByRole("link", { name })
        .getAttribute("href");
    expect(href("human:alice")).toBe("/audit?outcome=denied&principal=human%3Aalice");
    expect(href("draft.rejected")).toBe("/audit?outcome=denied&kind=draft.rejected");
    expect(href("d_1")).toBe("/audit?outcome=denied&subject=d_1");
    expect(screen.getByRole("link", { name: "denied" }).getAttribute("aria-current")).toBe("page");
  });

  test("opens an entry in place, with the way to its proof", async () => {
    network(log);
    shown(<AuditView id="7" me={ALICE} />, "/audit/7");
    expect((await screen.findByRole("group", { name: "Entry 7" })).textContent).toContain('"reason"');
    expect(screen.getByRole("link", { name: "Verify it in Evidence" }).getAttribute("href")).toBe("/evidence/7");
  });

  test("is downloaded as it is filtered", async () => {
    network(log);
    shown(<AuditView id={undefined} me={ALICE} />, "/audit?kind=draft&text=a%26b&before=9");
    await screen.findAllByRole("row");
    expect(screen.getByText("JSONL").getAttribute("href")).toBe(
      "/ops/audit/export?format=jsonl&end=9&kind=draft&text=a%26b",
    );
    expect(screen.getByText("CSV").getAttribute("href")).toContain("format=csv");
  });

  test("searches by a link that can be sent", async () => {
    network(log);
    shown(<AuditView id={undefined} me={ALICE} />, "/audit?kind=draft");
    await userEvent.type(await screen.findByRole("searchbox", { name: "Text in an entry" }), "narrow{Enter}");
    expect(await screen.findByRole("link", { name: "Without text narrow" })).toBeTruthy();
    expect(screen.getByRole("link", { name: "Without kind draft" })).toBeTruthy();
  });
});
