import { vi } from "vitest";
import type { Line, RunInFull } from "../../types";

/** For tests: a run's log of any length, answered as the server does, line by line from its number. */
export function lineOf(number: number, msg = `line ${number}`): Line {
  return { line: number, ts: "2026-01-01T00:00:01.000Z", level: "INFO", source: "stdout", msg, correlation_id: null };
}

export function runOf(total: number, more: Partial<RunInFull> = {}): RunInFull {
  const first = Math.max(1, total - 199);
  return {
    id: "r_1",
    status: "done",
    reason: null,
    message: null,
    why: null,
    approved_id: "a_1",
    item_id: "ORCH-001",
    attempt: 1,
    created_at: "2026-01-01T00:00:00.000Z",
    created_by: "human:alice",
    started_at: "2026-01-01T00:00:00.000Z",
    ended_at: "2026-01-01T00:00:10.000Z",
    archived_at: null,
    correlation_id: null,
    result: null,
    steps: [],
    log: Array.from({ length: total - first + 1 }, (_, place) => lineOf(first + place)),
    log_lines: total,
    ...more,
  };
}

/** Answer log pages and searches over `total` lines of which `hits` hold what is looked for; returns what was asked. */
export function playLog(total: number, hits: readonly number[] = []): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname, searchParams } = new URL(request.url);
    asked.push(`${pathname}?${searchParams}`);
    const after = Number(searchParams.get("after") ?? 0);
    const answer = pathname.endsWith("/search")
      ? searched(after, total, hits)
      : Array.from({ length: Math.min(Number(searchParams.get("limit")), total - after) }, (_, place) =>
          lineOf(after + place + 1, hits.includes(after + place + 1) ? "here is the Needle, and a needle" : undefined),
        );
    return new Response(JSON.stringify(answer), { headers: { "content-type": "application/json" } });
  });
  return asked;
}

function searched(after: number, total: number, hits: readonly number[]) {
  const to = Math.min(total, after + 100_000);
  const lines = hits.filter((line) => line > after && line <= to);
  return { id: "r_1", status: to === total ? "complete" : "partial", lines, searched_to: to };
}

/** Stands in for the browser's EventSource; the test says what comes. */
export class Stream extends EventTarget {
  static all: Stream[] = [];
  static readonly CLOSED = 2;
  closed = false;
  readyState = 1;
  onerror: () => void = () => undefined;
  constructor(readonly url: string) {
    super();
    Stream.all.push(this);
  }
  tell(kind: string, data: unknown) {
    this.dispatchEvent(new MessageEvent(kind, { data: JSON.stringify(data) }));
  }
  refuse() {
    this.readyState = Stream.CLOSED;
    this.onerror();
  }
  close() {
    this.closed = true;
  }
}

export function playStream(): typeof Stream {
  Stream.all = [];
  vi.stubGlobal("EventSource", Stream);
  return Stream;
}
