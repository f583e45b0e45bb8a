import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { Me } from "../../types";
import { usePipelineRuns, usePipelines } from "../../useOpsService";
import { DefinitionDetail } from "./DefinitionDetail";
import { PipelineRunDetail } from "./PipelineRunDetail";

/** Definitions with their standing first, then runs, newest first. */
function useRows() {
  const definitions = usePipelines();
  const runs = usePipelineRuns();
  const rows = [
    ...(definitions.data ?? []).map((each) => ({
      id: `definition ${each.id}`,
      href: `/pipelines/definitions/${each.id}`,
      title: (
        <>
          <StateBadge state={each.status} /> {each.id}
        </>
      ),
      below: each.changes.length ? each.changes.join(", ") : <>definition · accepted by {each.accepted_by ?? "nobody"}</>,
    })),
    ...(runs.data ?? []).map((each) => ({
      id: each.id,
      href: `/pipelines/runs/${each.id}`,
      title: (
        <>
          <StateBadge state={each.status} /> {each.name}
        </>
      ),
      below: (
        <>
          run by {each.triggered_by} · <RelativeTime at={each.triggered_at} />
        </>
      ),
    })),
  ];
  return { rows, pending: definitions.isPending || runs.isPending, failure: definitions.error ?? runs.error };
}

export default function PipelinesView({ name, run, me }: { name?: string; run?: string; me: Me }) {
  const { rows, pending, failure } = useRows();
  return (
    <ListAndDetail
      label="Pipelines"
      rows={rows}
      selected={run ?? (name === undefined ? undefined : `definition ${name}`)}
      back="/pipelines"
      head={
        <>
          <h1>Pipelines</h1>
          {failure ? <Failure of={failure} /> : null}
        </>
      }
      empty={
        pending ? (
          <p className="waiting">…</p>
        ) : failure ? null : (
          <Empty title="No pipeline is defined">
            Definitions lie in <code>cicd/pipelines/</code> of the workspace.
          </Empty>
        )
      }
    >
      {run === undefined ? null : <PipelineRunDetail key={run} id={run} />}
      {name === undefined ? null : <DefinitionDetail key={name} name={name} me={me} />}
      {run === undefined && name === undefined ? (
        <p className="hint">A definition runs as a person has accepted it, byte for byte, and not otherwise.</p>
      ) : null}
    </ListAndDetail>
  );
}
