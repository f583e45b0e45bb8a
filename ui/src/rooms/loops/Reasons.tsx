import { Section } from "../../parts/Facts";
import { StateBadge } from "../../parts/StateBadge";
import type { LoopInFull } from "../../types";

type Reason = NonNullable<LoopInFull["view"]>["reasons"][number];

const critical = (one: Reason, other: Reason) =>
  Number(other.severity === "critical") - Number(one.severity === "critical");

function Explained({ reason }: { reason: Reason }) {
  return (
    <li className="loops-reason">
      <h4>
        <StateBadge state={reason.severity} /> {reason.title} <code className="small">{reason.code}</code>
      </h4>
      <p>{reason.means}</p>
      {reason.do ? (
        <p>
          <strong>To do:</strong> {reason.do}
        </p>
      ) : null}
      {reason.observed === null ? null : (
        <p className="small">
          {reason.metric ?? "it"} is {reason.observed}, limit {reason.threshold ?? "none"}
        </p>
      )}
    </li>
  );
}

function WithoutView({ loop }: { loop: LoopInFull }) {
  return loop.status === "unreadable" ? (
    <p className="banner" data-tone="bad">
      {loop.why.join("; ") || "Its record can not be read."} Put the file aside and reconcile: it is written anew.
    </p>
  ) : (
    <p className="banner">Nothing is known of it yet: reconcile it first.</p>
  );
}

/** Why a loop is not healthy, in words, and what keeps machines from steering it. */
export function Reasons({ loop }: { loop: LoopInFull }) {
  const view = loop.view;
  if (view === null) return <WithoutView loop={loop} />;
  return (
    <>
      <Section title="Health">
        {view.reasons.length === 0 ? <p className="hint">Nothing is wrong with it.</p> : null}
        <ul className="plain" aria-label="Reasons">
          {view.reasons.toSorted(critical).map((each) => (
            <Explained key={`${each.code} ${each.severity}`} reason={each} />
          ))}
        </ul>
      </Section>
      {view.frozen.length ? (
        <Section title="Frozen for machines">
          <p className="hint">
            Only a person may steer it until this is over, or until a person releases it:{" "}
            {view.frozen.map((each) => each.title).join("; ")}.
          </p>
        </Section>
      ) : null}
    </>
  );
}
