/** What the tests of the queue's screen share: a server with a hundred thousand items. */
import { screen, waitFor } from "@testing-library/react";
import { expect, vi } from "vitest";
import { Route } from "wouter";
import { ALICE, problem, shown } from "../../testing";
import type { Bulk, Item, Me, Problem, QueueStanding } from "../../types";
import QueueView from "./QueueView";

export const EVIL = "<img src=x onerror=alert(1)>";
export const MANY = 100_000;
export const PATIENT = { timeout: 8_000 };
export const PAUSED = { by: "human:bob", reason: EVIL, since: "2026-01-01T00:00:00.000Z", until: null };

export function item(number: number, changes: Partial<Item> = {}): Item {
  return {
    id: `ORCH-${number}`,
    status: "PENDING",
    priority: "P1",
    kind: "manual",
    executor: "external",
    run_id: null,
    task: `${EVIL} ${number}`,
    success_criteria: "it is swept",
    owner_session: "-",
    started_at: null,
    started_at_kst: "-",
    due_at_kst: "-",
    fence: 4,
    lease_until: null,
    attempt_count: 0,
    max_attempts: 3,
    not_before: null,
    waits_for: null,
    concurrency_key: null,
    needs: [],
    repository: null,
    agent: null,
    node_id: null,
    aged: 0,
    idempotency_key: null,
    created_at: "2026-01-01T00:00:00.000Z",
    notes: "",
    last_error: "",
    ...changes,
  };
}
export const BULK: Bulk = {
  id: "qb_1",
  status: "preview",
  verb: "cancel",
  to: null,
  reason: "",
  outcome: "become BLOCKED",
  by: "human:alice",
  matched: 5_000,
  by_status: { FAILED: 5_000 },
  sample: [item(1, { status: "FAILED" })],
  done: 0,
  changed: 0,
  unchanged: 0,
  refused: {},
  examples: [],
  message: "",
  began_at: null,
  ended_at: null,
};
export const STANDING: QueueStanding = {
  PENDING: MANY,
  IN_PROGRESS: 0,
  BLOCKED: 0,
  FAILED: 5_000,
  DONE: 7,
  top_in_progress: [],
  paused: null,
};

type Answer = (url: URL, body: unknown) => unknown;

/** A server with a hundred thousand items; whatever a test says of it comes first. */
export function server(own: Readonly<Record<string, Answer>> = {}) {
  const asked: { method: string; url: URL; body: unknown }[] = [];
  const state = { first: 0 };
  const answers: Record<string, Answer> = {
    "GET /ops/queue/status": () => STANDING,
    "GET /ops/queue/bulk": () => [],
    "GET /ops/queue/count": () => ({ items: MANY, by_status: { PENDING: MANY } }),
    "GET /ops/queue/items/ORCH-3": () => item(3),
    "GET /ops/queue/items/ORCH-3/explain": () => ({
      id: "ORCH-3",
      status: "PENDING",
      because: [{ code: "behind_others", text: "2 items go first" }],
    }),
    ...own,
  };
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    const text = await request.text();
    const body = text ? (JSON.parse(text) as unknown) : undefined;
    asked.push({ method: request.method, url, body });
    const answer = answers[`${request.method} ${url.pathname}`];
    if (!answer && url.pathname === "/ops/queue/items") return page(url, state.first);
    const found = answer ? answer(url, body) : problem(404, "not_found", "There is no such thing.");
    const status = typeof found === "object" && found && "code" in found ? (found as Problem).status : 200;
    return new Response(JSON.stringify(found), { status, headers: { "content-type": "application/json" } });
  });
  return { asked, state, list: () => asked.filter((each) => each.url.pathname === "/ops/queue/items") };
}

function page(url: URL, first: number): Response {
  const asked = url.searchParams;
  const after = Math.max(first, Number(asked.get("after")?.split(".")[1] ?? 0));
  const until = Math.min(MANY, Number(asked.get("until")?.split(".")[1] ?? MANY), after + Number(asked.get("limit")));
  const items = Array.from({ length: Math.max(0, until - after) }, (_, place) => item(after + place + 1));
  const isFull = items.length === Number(asked.get("limit"));
  const headers = new Headers({ "content-type": "application/json" });
  if (isFull && until < MANY) headers.set("link", `</ops/queue/items?after=1.${until}>; rel="next"`);
  return new Response(JSON.stringify(items), { headers });
}

export function queue(path = "/queue", me: Me = ALICE) {
  return shown(<Route path="/queue/*?">{(at) => <QueueView id={at["*"] || undefined} me={me} />}</Route>, path);
}
export const box = () => screen.getByRole("group", { name: "Items, scrolling" });
export const rows = () => screen.getAllByRole("row").length;

/** Scroll so far; where not so much is loaded, again as it comes. */
export async function scrolled(far: number) {
  await waitFor(() => {
    box().scrollTop = far;
    expect(box().scrollTop).toBe(far);
    expect(screen.getByText(`ORCH-${Math.ceil(far / 36) + 2}`)).toBeTruthy();
  }, PATIENT);
}
