import "./runs.css";
import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { Older } from "../../parts/Older";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import { plain } from "../../parts/words";
import type { Run, Truth } from "../../types";
import { useRunPages, useTruths } from "../../useOpsService";
import { RunDetail } from "./RunDetail";
import { isTrouble } from "./Verdict";

const STATES = ["all", "pending", "running", "done", "error", "cancelled"] as const satisfies readonly (
  | "all"
  | Run["status"]
)[];

/** What a list says of a run beside its status: that it only waits for CI, or that something is not in order. */
function Beside({ run, truth }: { run: Run; truth: Truth | undefined }) {
  if (run.reason === "waits_for_ci") return <StateBadge state="waits for CI" />;
  return isTrouble(truth) ? <StateBadge state={plain(truth.status)} /> : null;
}

function rowOf(run: Run, where: string, truth: Truth | undefined) {
  return {
    id: run.id,
    href: `/runs/${run.id}${where}`,
    title: (
      <>
        <StateBadge state={run.status} /> <Beside run={run} truth={truth} /> {run.item_id}
      </>
    ),
    below: (
      <>
        {run.message ?? `by ${run.created_by}`} · <RelativeTime at={run.created_at} />
      </>
    ),
  };
}

function NoRuns({ state, ofOne }: { state: string; ofOne: boolean }) {
  if (ofOne) return <Empty title="No run of this record">Start one where it is approved.</Empty>;
  return (
    <Empty title={state === "all" ? "Nothing has run yet" : `No run is ${state}`}>
      A run is made from an <Link href="/approved">approved record</Link>: <code>interlock run create a_…</code>
    </Empty>
  );
}

/** Runs, newest first, and what became of each. */
export default function RunsView({ id, me }: ViewProps) {
  const search = useSearch();
  const state = chosenOf(STATES, search);
  const approved = new URLSearchParams(search).get("approved") ?? undefined;
  const runs = useRunPages({
    ...(state === "all" ? {} : { status: state }),
    ...(approved ? { approved_id: approved } : {}),
  });
  const truths = new Map((useTruths().data ?? []).map((each) => [each.id, each]));
  const asked = new URLSearchParams([
    ...(state === "all" ? [] : [["status", state]]),
    ...(approved ? [["approved", approved]] : []),
  ]).toString();
  const where = asked ? `?${asked}` : "";
  const more = () => {
    if (runs.hasNextPage && !runs.isFetchingNextPage) void runs.fetchNextPage();
  };
  return (
    <ListAndDetail
      label="Runs"
      rows={(runs.data?.pages.flat() ?? []).map((run) => rowOf(run, where, truths.get(run.id)))}
      selected={id}
      back={`/runs${where}`}
      onEnd={more}
      foot={<Older more={runs.hasNextPage} busy={runs.isFetchingNextPage} onMore={more} />}
      head={
        <>
          <h1>Runs</h1>
          {approved ? (
            <p className="small">
              of <Link href={`/approved/${approved}`}>{approved}</Link> · <Link href="/runs">all runs</Link>
            </p>
          ) : (
            <Filters label="Runs by status" base="/runs" words={STATES} chosen={state} />
          )}
          {runs.error ? <Failure of={runs.error} again={() => void runs.refetch()} /> : null}
        </>
      }
      empty={
        runs.isPending ? (
          <p className="waiting">…</p>
        ) : runs.error ? null : (
          <NoRuns state={state} ofOne={approved !== undefined} />
        )
      }
    >
      {id === undefined ? (
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk through the list.
        </p>
      ) : (
        <RunDetail key={id} id={id} me={me} />
      )}
    </ListAndDetail>
  );
}
