import { useSearch } from "wouter";
import { chosenOf, Filters } from "../../parts/Filters";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { Me, Run } from "../../types";
import { useRuns } from "../../useOpsService";
import { RunDetail } from "./RunDetail";

const STATES = ["all", "pending", "running", "done", "error", "cancelled"] as const satisfies readonly (
  | "all"
  | Run["status"]
)[];

/** Runs, newest first, and what became of each. */
export default function RunsView({ id, me }: { id: string | undefined; me: Me }) {
  const search = useSearch();
  const state = chosenOf(STATES, search);
  const runs = useRuns(state === "all" ? undefined : state);
  const where = state === "all" ? "" : `?status=${state}`;
  const rows = (runs.data ?? []).map((run) => ({
    id: run.id,
    href: `/runs/${run.id}${where}`,
    title: (
      <>
        <StateBadge state={run.status} /> {run.item_id}
      </>
    ),
    below: (
      <>
        {run.message ?? `by ${run.created_by}`} · <RelativeTime at={run.created_at} />
      </>
    ),
  }));
  return (
    <ListAndDetail
      label="Runs"
      rows={rows}
      selected={id}
      back={`/runs${where}`}
      head={
        <>
          <h1>Runs</h1>
          <Filters label="Runs by status" base="/runs" words={STATES} chosen={state} />
          {runs.error ? <Failure of={runs.error} again={() => void runs.refetch()} /> : null}
        </>
      }
      empty={
        runs.isPending ? (
          <p className="waiting">…</p>
        ) : runs.error ? null : (
          <Empty title={state === "all" ? "Nothing has run yet" : `No run is ${state}`}>
            A run is made from an approved record: <code>interlock run create a_…</code>
          </Empty>
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
