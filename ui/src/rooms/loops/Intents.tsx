import { Block } from "../../parts/Block";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { plain } from "../../parts/words";
import type { LoopControlled, LoopIntent } from "../../types";

/** What just came of an intent, said as it is: also that nobody knows. */
export function Outcome({ of: outcome }: { of: LoopControlled }) {
  const well = outcome.status === "confirmed" || outcome.status === "acknowledged";
  return (
    <div
      className="banner loops-outcome"
      role="status"
      data-tone={outcome.status === "failed_command" ? "bad" : undefined}
      data-well={well}
    >
      <strong>
        {outcome.intent}: {outcome.title}.
      </strong>{" "}
      {outcome.means} {outcome.do}
      {outcome.output ? <Block name="What the runtime said" text={outcome.output} /> : null}
    </div>
  );
}

function Said({ intent }: { intent: LoopIntent }) {
  const output = [intent.failure, intent.output].filter(Boolean).join("\n");
  return (
    <li className="loops-intent">
      <p>
        <StateBadge state={plain(intent.status)} /> <strong>{intent.intent}</strong>{" "}
        <span className="small">
          by {intent.by ?? "somebody"}, <RelativeTime at={intent.at} />
          {intent.transport ? ` over ${intent.transport}` : ""}
        </span>
      </p>
      {intent.note ? <p>“{intent.note}”</p> : null}
      <p className="small">
        {intent.means} {intent.observed ? `Seen: ${plain(intent.observed)}, after ${intent.attempts ?? 0} looks.` : ""}
      </p>
      {output ? (
        <details>
          <summary>what the runtime said</summary>
          <Block name="What the runtime said" text={output} />
        </details>
      ) : null}
    </li>
  );
}

/** What was wanted of a loop, the newest first. */
export function Intents({ intents }: { intents: readonly LoopIntent[] }) {
  if (intents.length === 0) return <p className="hint">Nothing was wanted of it yet.</p>;
  return (
    <ol className="plain" aria-label="Intents">
      {intents.map((each) => (
        <Said key={`${each.trace_id} ${each.at} ${each.intent}`} intent={each} />
      ))}
    </ol>
  );
}
