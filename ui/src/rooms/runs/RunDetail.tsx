import { Block } from "../../parts/Block";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText, span } from "../../parts/words";
import type { Me, RunInFull, Step } from "../../types";
import { useRun } from "../../useOpsService";
import { RunLog } from "./RunLog";
import { RunVerbs } from "./RunVerbs";

const TOLD = ["exit_code", "ended_by", "containment", "base_commit", "commit", "files_total"];

function resultFacts(result: RunInFull["result"]): Fact[] {
  return TOLD.filter((name) => result?.[name] !== undefined && result[name] !== null).map((name) => [
    name.replaceAll("_", " "),
    <code key={name}>{asText(result?.[name])}</code>,
  ]);
}

function Steps({ steps }: { steps: readonly Step[] }) {
  return (
    <ol className="steps">
      {steps.map((step) => (
        <li key={`${step.fence} ${step.name}`} data-ended={step.ended_at !== null}>
          <strong>{step.name}</strong>
          <span>{step.ended_at === null ? "under way" : span(step.duration_ms)}</span>
          <details>
            <summary>what it gave</summary>
            <Block name={`What ${step.name} gave`} text={asText(step.output)} />
          </details>
        </li>
      ))}
    </ol>
  );
}

/** One run: how it stands, why, its steps, its log. */
export function RunDetail({ id, me }: { id: string; me: Me }) {
  const found = useRun(id);
  if (found.error && !found.data) return <Failure of={found.error} again={() => void found.refetch()} />;
  const run = found.data;
  if (!run) return <p className="waiting">…</p>;
  return (
    <article aria-label="Run" className="detail">
      <header className="detail-head">
        <StateBadge state={run.status} />
        <h2>{run.id}</h2>
        <span className="small">attempt {run.attempt}</span>
      </header>
      {run.message ? (
        <p className="banner" data-tone={run.status === "error" ? "bad" : undefined}>
          {run.message} {run.reason ? <code>{run.reason}</code> : null}
        </p>
      ) : null}
      <Facts
        of={[
          ["item", run.item_id],
          ["approved record", <code key="a">{run.approved_id}</code>],
          ["asked for by", run.created_by],
          ["created", <RelativeTime key="c" at={run.created_at} />],
          ["started", <RelativeTime key="s" at={run.started_at} />],
          ["ended", <RelativeTime key="e" at={run.ended_at} />],
          ...resultFacts(run.result),
        ]}
      />
      {run.result?.patch ? (
        <p>
          <a href={`/ops/runs/${run.id}/diff`} download={`${run.id}.diff`}>
            Download the diff
          </a>
        </p>
      ) : null}
      <Section title="Steps">
        {run.steps.length ? <Steps steps={run.steps} /> : <p className="hint">No step has begun.</p>}
      </Section>
      <Section title="Log">
        <RunLog run={run} />
      </Section>
      <RunVerbs run={run} me={me} />
    </article>
  );
}
