import { Link } from "wouter";
import { Block } from "../../parts/Block";
import { Digest } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { LogFilter, Me } from "../../types";
import { useEntry } from "../../useOpsService";
import { link } from "./links";
import { Committed, Statement } from "./Statement";
import { VerifyHere } from "./VerifyHere";

/** One entry of the log, exactly as its leaf, with everything that speaks for it. */
export function EntryDetail({ index, now, me }: { index: number; now: LogFilter; me: Me }) {
  const found = useEntry(index);
  if (found.error && !found.data) return <Failure of={found.error} again={() => void found.refetch()} />;
  const entry = found.data;
  if (!entry) return <p className="waiting">…</p>;
  return (
    <article aria-label={`Entry ${entry.index}`} className="detail evidence-detail">
      <header className="detail-head">
        <StateBadge state={entry.covered ? "covered" : "not covered yet"} />
        <h2>
          {entry.kind} <span className="small">entry {entry.index}</span>
        </h2>
      </header>
      <Facts
        of={[
          [
            "kind",
            <Link key="k" href={link("/evidence", now, { kind: entry.kind })}>
              {entry.kind}
            </Link>,
          ],
          [
            "about",
            <Link key="s" href={link("/evidence", now, { subject: entry.subject })}>
              {entry.subject}
            </Link>,
          ],
          [
            "by",
            <Link key="p" href={link("/evidence", now, { principal: entry.principal })}>
              {entry.principal}
            </Link>,
          ],
          ["when", <RelativeTime key="w" at={entry.time} />],
          ["correlation id", entry.correlation_id ? <code key="c">{entry.correlation_id}</code> : "—"],
          ["leaf hash", <Digest key="h" value={entry.leaf_hash} />],
        ]}
      />
      <Section title="Verify">
        <VerifyHere key={entry.index} entry={entry} me={me} />
      </Section>
      {entry.statement ? <Statement of={entry.statement} /> : null}
      {entry.committed.length ? <Committed of={entry.committed} /> : null}
      <Section title="The payload, to be read">
        <Block name="The payload" text={JSON.stringify(entry.payload, null, 2)} />
      </Section>
      <Section title="The leaf, byte for byte">
        <p className="hint">The log's tree is built over exactly this.</p>
        <Block name="The leaf" text={entry.leaf} />
      </Section>
    </article>
  );
}
