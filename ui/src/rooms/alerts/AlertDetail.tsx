import { Link } from "wouter";
import { Block } from "../../parts/Block";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { keyed } from "../../parts/keyed";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText, plain } from "../../parts/words";
import type { AlertInFull, Me } from "../../types";
import { useAlert } from "../../useOpsService";
import { AlertVerbs } from "./AlertVerbs";
import { Deliveries } from "./Deliveries";
import { happened, subjectHref, titleOf } from "./words";

/** One alert: what, of what, why, what happened, and who was told. */
export function AlertDetail({ id, me }: { id: string; me: Me }) {
  const found = useAlert(id);
  const alert = found.data;
  if (found.error && !alert) return <Failure of={found.error} again={() => void found.refetch()} />;
  if (!alert) return <p className="waiting">…</p>;
  return (
    <article aria-label="Alert" className="detail">
      <header className="detail-head">
        <StateBadge state={alert.status} />
        <StateBadge state={alert.severity} />
        <h2>{titleOf(alert)}</h2>
      </header>
      {alert.untold ? (
        <p className="banner">
          Nobody was told of it: a <Link href="/alerts/silences">silence</Link> covers it, or the file of sinks is
          broken. It is told as soon as that is over.
        </p>
      ) : null}
      <Facts
        of={[
          ["of", <Subject key="s" of={alert} />],
          ["what", plain(alert.category)],
          ["why", alert.reasons.length ? alert.reasons.map(plain).join(", ") : "the log says no more"],
          ["opened", <RelativeTime key="o" at={alert.opened_at} />],
          ["last came in", <LastCame key="l" alert={alert} />],
          ["looked after by", alert.by ?? "nobody"],
          ["source", <code key="c">{alert.source}</code>],
          ["trace", alert.trace_id ? <code key="t">{alert.trace_id}</code> : "—"],
        ]}
      />
      <Section title="What happened">
        <History of={alert.history} />
      </Section>
      <Section title="Who was told">
        <Deliveries of={alert.deliveries} />
      </Section>
      <Section title="What came in last">
        <details>
          <summary>as it came</summary>
          <Block name="What came in last" text={asText(alert.escalation)} />
        </details>
      </Section>
      <AlertVerbs alert={alert} me={me} />
    </article>
  );
}

function LastCame({ alert }: { alert: AlertInFull }) {
  return (
    <>
      <RelativeTime at={alert.last_at} />, {alert.count === 1 ? "once" : `${alert.count} times`} in all
    </>
  );
}

function Subject({ of: { subject } }: { of: AlertInFull }) {
  const href = subjectHref(subject);
  const name = subject.kind === "other" ? subject.id : `${subject.kind} ${subject.id}`;
  return (
    <>
      {href ? <Link href={href}>{name}</Link> : name}
      {subject.repo ? <span className="small"> in {subject.repo}</span> : null}
    </>
  );
}

function History({ of: history }: { of: AlertInFull["history"] }) {
  if (history.length === 0) return <p className="hint">The log tells nothing of it yet.</p>;
  return (
    <ol className="steps" aria-label="What happened">
      {keyed(history).map(({ key, item: each }) => (
        <li key={key} data-ended="true">
          <strong>
            {happened(each.kind)}
            {each.sink ? ` to ${each.sink}` : ""}
          </strong>
          <span className="small">
            <RelativeTime at={each.at} /> by {each.by}
            {each.severity ? ` · ${each.severity}` : ""}
          </span>
          {each.note ? <p className="note">{each.note}</p> : null}
        </li>
      ))}
    </ol>
  );
}
