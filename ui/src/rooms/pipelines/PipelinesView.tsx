import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import type { PipelineRun } from "../../types";
import { usePipelineRuns, usePipelines } from "../../useOpsService";
import { DefinitionDetail } from "./DefinitionDetail";
import { PipelineRunDetail } from "./PipelineRunDetail";
import "./pipelines.css";

const STATES = ["all", "Running", "Failed", "Success", "Pending"] as const;
const PAGE = 100;

interface Asked {
  state: (typeof STATES)[number];
  name: string | undefined;
  before: string | undefined;
}

function useAsked(): Asked {
  const search = useSearch();
  const asked = new URLSearchParams(search);
  return {
    state: chosenOf(STATES, search),
    name: asked.get("name") ?? undefined,
    before: asked.get("before") ?? undefined,
  };
}

function addressOf({ state, name, before }: Partial<Asked>): string {
  const asked = new URLSearchParams();
  if (state && state !== "all") asked.set("status", state);
  if (name) asked.set("name", name);
  if (before) asked.set("before", before);
  const text = asked.toString();
  return text && `?${text}`;
}

/** Definitions with their standing first, then runs, newest first. */
function useRows(asked: Asked) {
  const definitions = usePipelines();
  const status: PipelineRun["status"] | undefined = asked.state === "all" ? undefined : asked.state;
  const runs = usePipelineRuns({ status, name: asked.name, before: asked.before });
  const where = addressOf(asked);
  const whole = asked.state === "all" && !asked.name && !asked.before;
  const rows = [
    ...(whole ? (definitions.data ?? []) : []).map((each) => ({
      id: `definition ${each.id}`,
      href: `/pipelines/definitions/${each.id}`,
      title: (
        <>
          <StateBadge state={each.status} /> {each.id}
        </>
      ),
      below: each.changes.length ? (
        each.changes.join(", ")
      ) : (
        <>definition · accepted by {each.accepted_by ?? "nobody"}</>
      ),
    })),
    ...(runs.data ?? []).map((each) => ({
      id: each.id,
      href: `/pipelines/runs/${each.id}${where}`,
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
  const last = runs.data?.length === PAGE ? runs.data.at(-1) : undefined;
  return {
    rows,
    last,
    where,
    pending: definitions.isPending || runs.isPending,
    failure: definitions.error ?? runs.error,
  };
}

/** What stands behind `/pipelines/`: `definitions/NAME` or `runs/ID`. */
function chosen(id: string | undefined) {
  const [kind, value] = (id ?? "").split("/");
  return { name: kind === "definitions" ? value : undefined, run: kind === "runs" ? value : undefined };
}

function Head({ asked, failure }: { asked: Asked; failure: unknown }) {
  return (
    <>
      <h1>Pipelines</h1>
      <Filters label="Runs by status" base="/pipelines" words={STATES} chosen={asked.state} />
      {asked.name ? (
        <p className="hint">
          Runs of {asked.name} · <Link href={`/pipelines${addressOf({ state: asked.state })}`}>of all</Link>
        </p>
      ) : null}
      {asked.before ? <Link href={`/pipelines${addressOf({ ...asked, before: undefined })}`}>← The newest</Link> : null}
      {failure ? <Failure of={failure} /> : null}
    </>
  );
}

function Nothing({ asked }: { asked: Asked }) {
  return asked.state === "all" && !asked.name ? (
    <Empty title="No pipeline is defined">
      Definitions lie in <code>cicd/pipelines/</code> of the workspace.
    </Empty>
  ) : (
    <Empty title={`No run${asked.name ? ` of ${asked.name}` : ""} is ${asked.state === "all" ? "known" : asked.state}`}>
      <Link href="/pipelines">All definitions and runs</Link>
    </Empty>
  );
}

export default function PipelinesView({ id, me }: ViewProps) {
  const { name, run } = chosen(id);
  const asked = useAsked();
  const { rows, last, where, pending, failure } = useRows(asked);
  return (
    <ListAndDetail
      label="Pipelines"
      rows={rows}
      selected={run ?? (name === undefined ? undefined : `definition ${name}`)}
      back={`/pipelines${where}`}
      head={<Head asked={asked} failure={failure} />}
      foot={last ? <Link href={`/pipelines${addressOf({ ...asked, before: last.id })}`}>Older ones →</Link> : null}
      empty={pending ? <p className="waiting">…</p> : failure ? null : <Nothing asked={asked} />}
    >
      {run === undefined ? null : <PipelineRunDetail key={run} id={run} me={me} />}
      {name === undefined ? null : <DefinitionDetail key={name} name={name} me={me} />}
      {run === undefined && name === undefined ? (
        <p className="hint">A definition runs as a person has accepted it, byte for byte, and not otherwise.</p>
      ) : null}
    </ListAndDetail>
  );
}
