import { lazy, Suspense, useMemo } from "react";
import { Link, useSearch } from "wouter";
import { Facts } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { number } from "../../parts/words";
import type { History, Point } from "../../types";
import { addressOf } from "./address";
import { useHistory } from "./asked";
import type { Line } from "./Plot";

const Plot = lazy(() => import("./Plot"));
const SPANS = { "24h": 24, "1h": 1, "7d": 168, "30d": 720 } as const;
const WORDS = ["1h", "24h", "7d", "30d"] as const;

const seconds = (ms: number | null) => (ms === null ? null : Math.round(ms / 100) / 10);
type Row = readonly [name: string, colour: Line["colour"], value: (point: Point) => number | null];
const PLOTS: readonly { title: string; unit: string; rows: readonly Row[] }[] = [
  {
    title: "Throughput",
    unit: "items",
    rows: [
      ["added", "--goes", (point) => point.added],
      ["completed", "--good", (point) => point.completed],
      ["failed", "--bad", (point) => point.failed],
    ],
  },
  {
    title: "Backlog",
    unit: "items",
    rows: [
      ["PENDING", "--waits", (point) => point.backlog.PENDING],
      ["IN_PROGRESS", "--goes", (point) => point.backlog.IN_PROGRESS],
      ["BLOCKED", "--soft", (point) => point.backlog.BLOCKED],
      ["FAILED", "--bad", (point) => point.backlog.FAILED],
    ],
  },
  {
    title: "Waiting",
    unit: "seconds from being added to the first claim",
    rows: [
      ["median", "--goes", (point) => seconds(point.wait_p50_ms)],
      ["95th percentile", "--waits", (point) => seconds(point.wait_p95_ms)],
    ],
  },
  {
    title: "Work",
    unit: "seconds from a claim to its end",
    rows: [
      ["median", "--goes", (point) => seconds(point.work_p50_ms)],
      ["95th percentile", "--waits", (point) => seconds(point.work_p95_ms)],
    ],
  },
  {
    title: "Retries",
    unit: "items",
    rows: [
      ["retried", "--waits", (point) => point.retried],
      ["cancelled", "--soft", (point) => point.cancelled],
    ],
  },
];

function Sums({ of }: { of: History }) {
  const sum = (value: (point: Point) => number) => of.points.reduce((all, point) => all + value(point), 0);
  const completed = sum((point) => point.completed);
  const failed = sum((point) => point.failed);
  const ended = completed + failed;
  const rows = [
    ["Completed", number(completed)],
    ["Failed", number(failed)],
    ["Success rate", ended ? `${((100 * completed) / ended).toFixed(1)} %` : "—"],
    ["Retries", number(sum((point) => point.retried))],
    ["Waits now", number(of.points.at(-1)?.backlog.PENDING)],
  ] as const;
  return <Facts className="queue-sums" of={rows} />;
}

function Plots({ of }: { of: History }) {
  const plots = useMemo(() => {
    const times = of.points.map((point) => Date.parse(point.at) / 1_000);
    return PLOTS.map(({ title, unit, rows }) => ({
      title,
      unit,
      times,
      lines: rows.map(([name, colour, value]) => ({ name, colour, values: of.points.map(value) })),
    }));
  }, [of]);
  return (
    <div className="queue-plots">
      {plots.map((plot) => (
        <Suspense key={plot.title} fallback={<div className="queue-figure" />}>
          <Plot {...plot} />
        </Suspense>
      ))}
    </div>
  );
}

/** Key figures over time; the last point is still growing. */
export default function Figures() {
  const search = useSearch();
  const asked = new URLSearchParams(search).get("span");
  const span = WORDS.find((word) => word === asked) ?? "24h";
  const history = useHistory(SPANS[span]);
  return (
    <>
      <nav className="filters" aria-label="How far back">
        {WORDS.map((word) => (
          <Link
            key={word}
            href={addressOf(search, { span: word === "24h" ? undefined : word })}
            aria-current={word === span ? "page" : undefined}
          >
            {word}
          </Link>
        ))}
      </nav>
      {history.error ? <Failure of={history.error} again={() => void history.refetch()} /> : null}
      {history.data ? (
        <>
          <Sums of={history.data} />
          <Plots of={history.data} />
        </>
      ) : history.error ? null : (
        <p className="waiting">…</p>
      )}
    </>
  );
}
