import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { shellWords } from "../../parts/words";
import type { Me, PipelineRunInFull } from "../../types";
import { usePipelineRun } from "../../useOpsService";
import { Artefacts } from "./Artefacts";
import { CancelRun } from "./CancelRun";
import { Checkpoints } from "./Checkpoints";
import { PipelineLog } from "./PipelineLog";
import { Stages } from "./Stages";

/** A run of a pipeline: stages, jobs, what each said and left, and for each checkpoint who signed what. */
export function PipelineRunDetail({ id, me }: { id: string; me: Me }) {
  const found = usePipelineRun(id);
  if (found.error && !found.data) return <Failure of={found.error} again={() => void found.refetch()} />;
  const run = found.data;
  if (!run) return <p className="waiting">…</p>;
  return (
    <article aria-label="Pipeline run" className="detail">
      <header className="detail-head">
        <StateBadge state={run.status} />
        <h2>{run.name}</h2>
        <span className="small">{run.id}</span>
      </header>
      <WhyStopped run={run} />
      <Facts
        of={[
          ["triggered by", run.triggered_by],
          ["triggered", <RelativeTime key="t" at={run.triggered_at} />],
          ["ended", <RelativeTime key="e" at={run.ended_at} />],
          ["definition", <Of key="d" run={run} />],
          ["commit", run.commit_sha ? <code key="c">{run.commit_sha}</code> : "the workspace is no repository"],
        ]}
      />
      <Section title="Stages">
        <Stages run={run} />
      </Section>
      <Section title="Checkpoints">
        <Checkpoints rules={run.rules} passed={run.checkpoints} />
      </Section>
      <Section title="Artefacts">
        <Artefacts run={run} />
      </Section>
      <Section title="Log">
        <PipelineLog run={run} changed={found.dataUpdatedAt} />
      </Section>
      <Section title="The same on the command line">
        <Command line={shellWords(["interlock", "pipeline", "show", run.id])} />
        <Command line={shellWords(["interlock", "pipeline", "log", run.id])} />
      </Section>
      <CancelRun run={run} me={me} />
    </article>
  );
}

function Of({ run }: { run: PipelineRunInFull }) {
  return (
    <>
      <Link href={`/pipelines/definitions/${run.name}`}>{run.name}</Link> at <code>{run.digest}</code>
    </>
  );
}

function WhyStopped({ run }: { run: PipelineRunInFull }) {
  const failed = run.status === "Failed";
  if (!run.message && !failed) return null;
  return (
    <>
      <p className="banner" data-tone={failed ? "bad" : undefined}>
        {run.message ?? "It stopped."} {run.reason ? <code>{run.reason}</code> : null}
      </p>
      {failed ? (
        <Section title="Go on from where it stopped">
          <p className="hint">
            On the machine of the workspace: jobs that ended well, and still stand, are not done again.
          </p>
          <Command line={shellWords(["interlock", "pipeline", "resume", run.id])} />
        </Section>
      ) : null}
    </>
  );
}
