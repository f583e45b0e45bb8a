import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { keyed } from "../../parts/keyed";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { shellWords, span } from "../../parts/words";
import type { DeploymentInFull } from "../../types";
import { useDeployment } from "../../useOpsService";
import { Signature } from "./Checkpoints";
import { Looks } from "./Looks";
import { standing } from "./standing";

/** One deployment: its steps, what was measured, what became of it and why, and who signed for the run behind it. */
export function DeploymentDetail({ id }: { id: string }) {
  const found = useDeployment(id);
  const one = found.data;
  if (found.error && !one) return <Failure of={found.error} again={() => void found.refetch()} />;
  if (!one) return <p className="waiting">…</p>;
  return (
    <article aria-label="Deployment" className="detail">
      <header className="detail-head">
        <StateBadge state={standing(one)} />
        <h2>
          {one.name} {one.version}
        </h2>
        <span className="small">in {one.environment}</span>
      </header>
      {one.message ? (
        <p className="banner" data-tone={one.status === "Running" ? undefined : "bad"}>
          {one.message} {one.reason ? <code>{one.reason}</code> : null}
        </p>
      ) : null}
      <Facts
        of={[
          ["strategy", one.strategy],
          ["version before", one.previous_version ?? "nothing was there"],
          ["created", <RelativeTime key="c" at={one.created_at} />],
          ["by", one.created_by],
          ["id", <code key="i">{one.id}</code>],
          ["definition", <code key="d">{one.digest}</code>],
        ]}
      />
      <Section title="Steps">
        <Steps of={one.steps} />
      </Section>
      <Section title="Health">
        <Looks of={one.looks} />
      </Section>
      <Section title="Who stands behind it">
        <Behind one={one} />
      </Section>
      <Section title="What happened">
        <ol className="steps" aria-label="What happened">
          {keyed(one.history).map(({ key, item: each }) => (
            <li key={key} data-ended="true">
              <strong>{each.what}</strong>
              <span className="small">
                <RelativeTime at={each.at} /> by {each.by}
              </span>
              {each.message ? <p className="note">{each.message}</p> : null}
            </li>
          ))}
        </ol>
      </Section>
      <Commands one={one} />
    </article>
  );
}

function Steps({ of: steps }: { of: DeploymentInFull["steps"] }) {
  if (steps.length === 0) return <p className="hint">No step has ended.</p>;
  return (
    <ol className="plain" aria-label="Steps">
      {keyed(steps).map(({ key, item: step }) => (
        <li key={key} className="pipelines-job">
          <StateBadge state={step.status === "RolledBack" ? "taken back" : step.status} /> <strong>{step.name}</strong>{" "}
          <span className="small">
            {span(step.duration_ms)}
            {step.exit_code === null ? "" : ` · exit ${step.exit_code}`}
            {step.containment ? ` · ${step.containment}` : ""} · <RelativeTime at={step.at} />
          </span>
          {step.message ? <p className="hint">{step.message}</p> : null}
        </li>
      ))}
    </ol>
  );
}

function Behind({ one }: { one: DeploymentInFull }) {
  if (one.run === null)
    return <p className="hint">No run of a pipeline made it, so nobody has verified it: it can not be promoted.</p>;
  return (
    <>
      <p>
        <StateBadge state={one.run.status} /> <Link href={`/pipelines/runs/${one.run.id}`}>{one.run.name}</Link>,
        triggered by {one.run.triggered_by}, <RelativeTime at={one.run.triggered_at} />
      </p>
      {one.signed.some((each) => each.role === "verifier") ? null : (
        <p className="hint">No verifier has signed for this run.</p>
      )}
      <ul className="checkpoints" aria-label="Signed">
        {one.signed.map((each) => (
          <li key={each.name} data-passed="true">
            <strong>{each.name}</strong> <span className="small">by the {each.role}</span>
            <Signature of={each} />
          </li>
        ))}
      </ul>
    </>
  );
}

function verbs(one: DeploymentInFull): string[][] {
  const on = (verb: string, ...more: string[]) => ["interlock", "deployment", verb, one.id, ...more];
  const back = on("rollback", "--reason", "WHY");
  if (one.status === "Running") return [on("promote"), on("monitor"), on("resume"), back];
  if (one.status === "Success") return [on("monitor"), back];
  return one.status === "Failed" ? [on("resume"), back] : [on("show")];
}

function Commands({ one }: { one: DeploymentInFull }) {
  return (
    <Section title="On the machine of the workspace">
      <p className="hint">Deployments run where the workspace is; they are steered there, by these commands.</p>
      {verbs(one).map((words) => (
        <Command key={words.join(" ")} line={shellWords(words)} />
      ))}
    </Section>
  );
}
