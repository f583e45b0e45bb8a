import { Section } from "../../parts/Facts";
import { keyed } from "../../parts/keyed";
import { bound, shellWords } from "../../parts/words";
import type { DeclaredJob, DefinitionInFull } from "../../types";

function Job({ job }: { job: DeclaredJob }) {
  const behind = job.requires.map((each) => each.checkpoint);
  return (
    <li className="pipelines-job">
      <p>
        <strong>{job.id}</strong>{" "}
        <span className="small">
          {job.role ?? "no role"}
          {job.action ? ` does ${job.action}` : ""}
          {job.needs.length ? ` · after ${job.needs.join(", ")}` : ""} · at most {bound(job.limits.seconds, "seconds")}
          {job.network ? " · may use the network" : ""}
        </span>
      </p>
      {keyed(job.lines).map(({ key, item: line }) => (
        <pre key={key} className="pipelines-line">
          {shellWords(line.argv)}
          {line.if_exists ? `   # only if ${line.if_exists} is there` : ""}
        </pre>
      ))}
      {behind.length ? <p className="small">Begins only behind the checkpoints {behind.join(", ")}.</p> : null}
      {job.signs.length ? (
        <p className="small">
          Its {job.role} signs {job.signs.join(", ")}.
        </p>
      ) : null}
      {job.artefacts.length ? <p className="small">Has to leave {job.artefacts.join(", ")}.</p> : null}
    </li>
  );
}

/** What a pipeline does, stage by stage, as its definition declares it. */
export function Declared({ of: declared }: { of: DefinitionInFull["definition"] }) {
  return (
    <Section title="What it runs">
      <p>{declared.description}</p>
      <p className="small">
        <code>{declared.path}</code> · version {declared.version}
        {Object.entries(declared.roles).map(([role, agent]) => ` · ${role}: ${agent}`)}
      </p>
      {declared.stages.map((stage) => (
        <div key={stage.name} className="stage">
          <h4>
            {stage.name} <span className="small">{stage.type}</span>
          </h4>
          <ul className="plain" aria-label={`Jobs of ${stage.name}`}>
            {declared.jobs
              .filter((job) => job.stage === stage.name)
              .map((job) => (
                <Job key={job.id} job={job} />
              ))}
          </ul>
        </div>
      ))}
    </Section>
  );
}
