import { useRef } from "react";
import { Link } from "wouter";
import { Copy } from "../../parts/Copy";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText, plain } from "../../parts/words";
import type { Me, RunInFull } from "../../types";
import { useApproved, useRun } from "../../useOpsService";
import { Changes } from "./Changes";
import { Checks } from "./Checks";
import { agentFacts, proofFacts } from "./proof";
import { Receipt } from "./Receipt";
import { type LogHandle, RunLog } from "./RunLog";
import { RunVerbs } from "./RunVerbs";
import { Timeline } from "./Timeline";
import { Verdict } from "./Verdict";
import { Why } from "./Why";

const TOLD = ["exit_code", "signal", "ended_by", "containment"] as const;
const COMMITS = ["base_commit", "commit"] as const;

function Commit({ id, what }: { id: string; what: string }) {
  return (
    <>
      <code title={id}>{id.slice(0, 12)}</code> <Copy text={id} what={what} />
    </>
  );
}

function resultFacts(result: RunInFull["result"]): Fact[] {
  const told = TOLD.filter((name) => result?.[name] !== undefined && result[name] !== null);
  return [
    ...told.map((name): Fact => [plain(name), <code key={name}>{asText(result?.[name])}</code>]),
    ...COMMITS.flatMap((name): Fact[] => {
      const id = result?.[name];
      return id ? [[plain(name), <Commit key={name} id={id} what={`the ${plain(name)}`} />]] : [];
    }),
  ];
}

/** Where it works: an address on the web is a link, a folder of the server's is none. */
function Repository({ of: place }: { of: unknown }) {
  if (typeof place !== "string") return <span>none</span>;
  return /^https:\/\//.test(place) ? (
    <a href={place} rel="noreferrer noopener" target="_blank">
      {visible(place)}
    </a>
  ) : (
    <code>{visible(place)}</code>
  );
}

function RunFacts({ run }: { run: RunInFull }) {
  const approved = useApproved(run.approved_id);
  return (
    <Facts
      of={[
        [
          "approved record",
          <Link key="a" href={`/approved/${run.approved_id}`}>
            <code>{run.approved_id}</code>
          </Link>,
        ],
        [
          "item",
          <Link key="i" href={`/queue/${run.item_id}`}>
            {run.item_id}
          </Link>,
        ],
        ["repository", approved.data ? <Repository key="r" of={approved.data.terms.repository} /> : "…"],
        ["asked for by", run.created_by],
        ["created", <RelativeTime key="c" at={run.created_at} />],
        ["started", <RelativeTime key="s" at={run.started_at} />],
        ["ended", <RelativeTime key="e" at={run.ended_at} />],
        ...proofFacts(run),
        ...agentFacts(run.result),
        ...resultFacts(run.result),
      ]}
    />
  );
}

/** One run: how it stands and why, its steps, its log, its checks, what it changed, and what proves it. */
export function RunDetail({ id, me }: { id: string; me: Me }) {
  const found = useRun(id);
  const log = useRef<LogHandle>(null);
  if (found.error && !found.data) return <Failure of={found.error} again={() => void found.refetch()} />;
  const run = found.data;
  if (!run) return <p className="waiting">…</p>;
  return (
    <article aria-label="Run" className="detail runs-detail">
      <header className="detail-head">
        <StateBadge state={run.status} />
        <h2>{run.id}</h2>
        <span className="small">attempt {run.attempt}</span>
      </header>
      <Why run={run} />
      <Verdict run={run} />
      <RunFacts run={run} />
      <Section title="Steps">
        <Timeline run={run} />
      </Section>
      <Section title="Log">
        <RunLog run={run} handle={log} />
      </Section>
      <Checks run={run} onOutput={(text) => log.current?.find(text)} />
      <Changes run={run} />
      <Receipt run={run} me={me} />
      <RunVerbs run={run} me={me} />
    </article>
  );
}
