import { Command } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { span } from "../../parts/words";
import type { PipelineRunInFull } from "../../types";
import { usePipelineRun } from "../../useOpsService";

/** A run of a pipeline: stages, jobs, and for each checkpoint who signed what. */
export function PipelineRunDetail({ id }: { id: string }) {
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
      {run.message ? (
        <p className="banner" data-tone={run.status === "Failed" ? "bad" : undefined}>
          {run.message} {run.reason ? <code>{run.reason}</code> : null}
        </p>
      ) : null}
      <Facts
        of={[
          ["triggered by", run.triggered_by],
          ["triggered", <RelativeTime key="t" at={run.triggered_at} />],
          ["ended", <RelativeTime key="e" at={run.ended_at} />],
          ["definition", <code key="d">{run.digest}</code>],
        ]}
      />
      <Section title="Stages">
        {run.stages.map((stage) => (
          <Stage key={stage.name} stage={stage} jobs={run.jobs.filter((job) => job.stage === stage.name)} />
        ))}
      </Section>
      <Section title="Checkpoints">
        <Checkpoints run={run} />
      </Section>
      <Section title="The same on the command line">
        <Command line={`interlock pipeline show ${run.id}`} />
        <Command line={`interlock pipeline log ${run.id}`} />
      </Section>
    </article>
  );
}

type Jobs = PipelineRunInFull["jobs"];

function Stage({ stage, jobs }: { stage: PipelineRunInFull["stages"][number]; jobs: Jobs }) {
  return (
    <div className="stage">
      <h4>
        <StateBadge state={stage.status} /> {stage.name} <span className="small">{span(stage.duration_ms)}</span>
      </h4>
      <ul className="plain">
        {jobs.map((job) => (
          <li key={job.id}>
            <StateBadge state={job.status} /> {job.id}{" "}
            <span className="small">
              {job.role ?? "no role"} · attempt {job.attempt}
              {job.exit_code === null ? "" : ` · exit ${job.exit_code}`}
              {job.containment ? ` · ${job.containment}` : ""}
            </span>
            {job.message ? <p className="hint">{job.message}</p> : null}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Checkpoints({ run }: { run: PipelineRunInFull }) {
  if (run.rules.length === 0) return <p className="hint">It has none.</p>;
  return (
    <ul className="checkpoints">
      {run.rules.map((rule) => {
        const passed = run.checkpoints.find((each) => each.name === rule.name);
        return (
          <li key={rule.name} data-passed={passed !== undefined}>
            <strong>{rule.name}</strong> <span className="small">by the {rule.role}</span>
            {passed ? (
              <>
                <p>
                  Signed by <strong>{passed.agent_id}</strong> with key <code>{passed.keyid}</code>,{" "}
                  <RelativeTime at={new Date(passed.issued_ms).toISOString()} />
                </p>
                <p className="small">{passed.summary}</p>
                <p className="small">
                  <code>{passed.artefact.path}</code> · <code title={passed.envelope}>{passed.envelope.slice(0, 19)}…</code>
                </p>
              </>
            ) : (
              <p className="hint">Not signed. It is asked for over {rule.artefact}.</p>
            )}
          </li>
        );
      })}
    </ul>
  );
}
