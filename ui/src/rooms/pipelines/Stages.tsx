import { StateBadge } from "../../parts/StateBadge";
import { span } from "../../parts/words";
import type { PipelineJob, PipelineRunInFull } from "../../types";

function took(job: PipelineJob): string {
  return job.started_ms === null || job.ended_ms === null ? "" : ` · ${span(job.ended_ms - job.started_ms)}`;
}

function Job({ job, signed }: { job: PipelineJob; signed: readonly string[] }) {
  return (
    <li className="pipelines-job">
      <StateBadge state={job.status} /> <strong>{job.id}</strong>{" "}
      <span className="small">
        {job.role ?? "no role"} · attempt {job.attempt}
        {took(job)}
        {job.exit_code === null ? "" : ` · exit ${job.exit_code}`}
        {job.containment ? ` · ${job.containment}` : ""}
      </span>
      {job.message ? (
        <p className="hint">
          {job.message} {job.reason ? <code>{job.reason}</code> : null}
        </p>
      ) : null}
      {job.notes.length ? <p className="small">Not held: {job.notes.join(", ").replaceAll("_", " ")}.</p> : null}
      {signed.length ? <p className="small pipelines-signed">Signed {signed.join(", ")}.</p> : null}
    </li>
  );
}

export function Stages({ run }: { run: PipelineRunInFull }) {
  return (
    <div>
      {run.stages.map((stage) => (
        <div key={stage.name} className="stage">
          <h4>
            <StateBadge state={stage.status} /> {stage.name} <span className="small">{span(stage.duration_ms)}</span>
          </h4>
          <ul className="plain" aria-label={`Jobs of ${stage.name}`}>
            {run.jobs
              .filter((job) => job.stage === stage.name)
              .map((job) => (
                <Job
                  key={job.id}
                  job={job}
                  signed={run.checkpoints.filter((each) => each.job === job.id).map((each) => each.name)}
                />
              ))}
          </ul>
        </div>
      ))}
    </div>
  );
}
