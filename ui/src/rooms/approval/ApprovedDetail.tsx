import "./approval.css";
import { Link } from "wouter";
import { Digest } from "../../parts/Copy";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText } from "../../parts/words";
import type { Approved, Me } from "../../types";
import { useApproved, useRunsOf } from "../../useOpsService";
import { ApprovedVerbs } from "./ApprovedVerbs";
import { standingOf } from "./approvedStanding";
import { LongText, Plain } from "./Plain";
import { WhatRuns } from "./WhatRuns";

function RunsOf({ approved }: { approved: Approved }) {
  const runs = useRunsOf(approved.id);
  if (runs.error && !runs.data) return <Failure of={runs.error} again={() => void runs.refetch()} />;
  if (!runs.data) return <p className="waiting">…</p>;
  if (!runs.data.length) return <p className="hint">None yet. Nothing starts by itself.</p>;
  return (
    <ul className="plain approved-runs" aria-label="Runs of this record">
      {runs.data.slice(0, 20).map((run) => (
        <li key={run.id}>
          <StateBadge state={run.status} />
          <Link href={`/runs/${run.id}`}>{run.id}</Link>
          <span className="small">
            {run.created_by} · <RelativeTime at={run.created_at} />
          </span>
        </li>
      ))}
      {runs.data.length > 20 ? (
        <li>
          <Link href={`/runs?approved=${approved.id}`}>All of its runs</Link>
        </li>
      ) : null}
    </ul>
  );
}

function facts(approved: Approved): Fact[] {
  return [
    ["approved by", approved.approved_by],
    ["approved", <RelativeTime key="a" at={approved.approved_at} />],
    [
      "draft",
      <Link key="d" href={`/review/${approved.draft_id}?status=approved`}>
        <code>{approved.draft_id}</code>
      </Link>,
    ],
    ["expires", approved.expires_at ? <RelativeTime key="e" at={approved.expires_at} /> : "never"],
    ["digest", <Digest key="h" value={approved.digest} />],
  ];
}

/** One approved record: exactly what may run, who agreed to it, and what came of it. */
export function ApprovedDetail({ id, me }: { id: string; me: Me }) {
  const found = useApproved(id);
  if (found.error && !found.data) return <Failure of={found.error} again={() => void found.refetch()} />;
  const approved = found.data;
  if (!approved) return <p className="waiting">…</p>;
  const hasContext = typeof approved.context === "string" || Object.keys(approved.context).length > 0;
  return (
    <article aria-label="Approved record" className="detail">
      <header className="detail-head">
        <StateBadge state={standingOf(approved)} />
        <h2>{approved.id}</h2>
      </header>
      {approved.revoked_at ? (
        <p className="banner" data-tone="bad">
          Revoked by {approved.revoked_by} <RelativeTime at={approved.revoked_at} />
          {approved.revoke_reason ? ": " : ". "}
          <Plain text={approved.revoke_reason ?? ""} /> No run starts from it any more.
        </p>
      ) : null}
      <Facts of={facts(approved)} />
      <Section title="Prompt">
        <LongText name="Prompt" text={approved.prompt} />
      </Section>
      {approved.content ? (
        <Section title="Content">
          <LongText name="Content" text={approved.content} />
        </Section>
      ) : null}
      {hasContext ? (
        <Section title="Context">
          <LongText name="Context" text={asText(approved.context)} />
        </Section>
      ) : null}
      <WhatRuns terms={approved.terms} />
      <Section title="Runs">
        <RunsOf approved={approved} />
      </Section>
      <ApprovedVerbs approved={approved} me={me} />
    </article>
  );
}
