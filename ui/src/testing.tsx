import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, vi } from "vitest";
import { Router } from "wouter";
import { memoryLocation } from "wouter/memory-location";
import type { Defaults, DraftInFull, Limits, Me, Problem } from "./types";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

export interface Asked {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
}
type Answers = Readonly<Record<string, unknown>>;

/** Stand in for the network: answers by `METHOD /path`; what is a problem comes with its own status. */
export function network(answers: Answers): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname } = new URL(request.url);
    const text = await request.text();
    asked.push({
      method: request.method,
      path: pathname,
      headers: request.headers,
      body: text ? (JSON.parse(text) as unknown) : undefined,
    });
    const found = answers[`${request.method} ${pathname}`];
    if (found instanceof Error) throw found;
    if (found instanceof Response) return found.clone();
    const answer = found ?? problem(404, "not_found", "There is no such thing.");
    const status = (answer as Partial<Problem>).code ? (answer as Problem).status : 200;
    return new Response(JSON.stringify(answer), { status, headers: { "content-type": "application/json" } });
  });
  return asked;
}

export function problem(status: number, code: string, detail: string, hint: string | null = null): Problem {
  return {
    type: `urn:interlock:error:${code}`,
    title: "Refused",
    status,
    code,
    detail,
    hint,
    errors: null,
    correlation_id: "req-77",
  };
}

export const ALICE: Me = {
  id: "human:alice",
  kind: "human",
  name: "alice",
  role: "admin",
  may_decide: true,
  token_id: "t_1",
  session: true,
};
export const ROBOT: Me = { ...ALICE, id: "agent:robot", kind: "agent", name: "robot", may_decide: false };

export const LIMITS: Limits = {
  wall_clock_seconds: 3600,
  check_seconds: 600,
  output_bytes: 10485760,
  disk_bytes: 2147483648,
  patch_bytes: 16777216,
  tokens: 0,
  cost_microusd: 0,
};

export const DRAFT: DraftInFull = {
  id: "d_1",
  status: "draft",
  version: 3,
  prompt: "Say <script>alert(1)</script> & <b>bold</b>",
  context: {},
  provider: null,
  generated: null,
  content: null,
  error: null,
  work: {
    agent: "command",
    command: ["sh", "-c", "echo 'it works'"],
    repository: "/srv/code",
    base_ref: "main",
    base_commit: "c0ffee",
    checks: [],
    environment: [],
    network: false,
    limits: LIMITS,
  },
  author: "agent:robot",
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  decided_by: null,
  decision_reason: null,
  terms: {
    schema: "interlock.terms/v1",
    prompt: "salted-sha256:1",
    content: null,
    context: "salted-sha256:2",
    agent: "command",
    command: ["sh", "-c", "echo 'it works'"],
    repository: "/srv/code",
    base_commit: "c0ffee",
    checks: [],
    environment: [],
    network: false,
    limits: LIMITS,
    a_field_of_tomorrow: "is shown as well",
  },
  digest: "sha256:0123456789abcdef",
};

export const DEFAULTS: Defaults = {
  work: {
    agent: "command",
    command: null,
    repository: null,
    base_ref: null,
    base_commit: null,
    checks: [],
    environment: [],
    network: true,
    limits: LIMITS,
  },
  expires_after_seconds: null,
  four_eyes: false,
};

/** What the whole page asks for when it comes. */
export const WHOLE: Answers = {
  "GET /ops/me": ALICE,
  "GET /ops/panic": { id: "panic", status: "off", panic_mode: false },
  "GET /ops/defaults": DEFAULTS,
  "GET /ops/drafts": [DRAFT],
  "GET /ops/drafts/d_1": DRAFT,
};

export function shown(what: ReactNode, path = "/") {
  const queries = new QueryClient({
    defaultOptions: { queries: { retry: false, staleTime: Number.POSITIVE_INFINITY } },
  });
  const { hook } = memoryLocation({ path });
  const view = render(
    <QueryClientProvider client={queries}>
      <Router hook={hook}>{what}</Router>
    </QueryClientProvider>,
  );
  return { ...view, queries };
}
