import { Block } from "../../parts/Block";
import { Facts, Section } from "../../parts/Facts";
import { RelativeTime } from "../../parts/RelativeTime";
import type { LogEntryInFull, LogStatement } from "../../types";

const SIGNED_BY: Readonly<Record<string, string>> = {
  principal: "the principal, with a key of their own",
  service_on_behalf: "the service, on the principal's behalf",
  log: "the log",
};

/** The signed statement that an entry bears, and whether its key counts there. */
export function Statement({ of: found }: { of: LogStatement }) {
  return (
    <Section title="Signed statement">
      <Facts
        of={[
          ["says", <code key="t">{found.predicate_type}</code>],
          ["signed by", SIGNED_BY[found.signed_by] ?? found.signed_by],
          [
            "key",
            found.key
              ? `${found.key.name} (${found.key.keyid}), ${found.key.purpose} key of ${found.key.owner}`
              : found.keyid,
          ],
          [
            "standing",
            <span key="s" className="evidence-standing" data-good={found.standing === "counts"}>
              {found.why}
            </span>,
          ],
          ["envelope", <code key="d">{found.digest}</code>],
        ]}
      />
      {found.statement ? (
        <details>
          <summary>The statement</summary>
          <Block name="The statement" text={JSON.stringify(found.statement, null, 2)} />
        </details>
      ) : null}
    </Section>
  );
}

const STANDING = {
  kept: "committed, salted; kept",
  erased: "committed, salted; erased",
  unknown: "committed, salted; not kept here",
} as const;

/** Texts that the log holds only as commitments, so that they can be erased and the proof still stands. */
export function Committed({ of: found }: { of: LogEntryInFull["committed"] }) {
  return (
    <Section title="Committed texts">
      <p className="hint">
        The log holds only a salted digest of these: they can be erased, and every proof still holds.
      </p>
      <ul className="evidence-committed plain">
        {found.map((each) => (
          <li key={each.place}>
            <code>{each.place}</code>
            <span>
              {STANDING[each.standing]} {each.erased_at ? <RelativeTime at={each.erased_at} /> : null}
            </span>
            <code className="small">{each.ref}</code>
          </li>
        ))}
      </ul>
    </Section>
  );
}
