import { useState } from "react";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { keyed } from "../../parts/keyed";
import { plain } from "../../parts/words";
import type { Difference, DifferenceLine, DraftInFull } from "../../types";
import { useDifference } from "../../useOpsService";
import { Plain } from "./Plain";

const WAYS = [
  ["previous", "To its version before"],
  ["approved", "To the last approval"],
] as const;
const SIGNS = { same: " ", removed: "−", added: "+" } as const;

function Line({ line }: { line: DifferenceLine }) {
  if (line.mark === "skipped") {
    return <li className="review-skipped">{line.count === 1 ? "1 line is" : `${line.count} lines are`} the same</li>;
  }
  const Changed = line.mark === "removed" ? "del" : "ins";
  return (
    <li data-mark={line.mark}>
      <span className="review-sign">
        <span aria-hidden="true">{SIGNS[line.mark]}</span>
        {line.mark === "same" ? null : <span className="unseen">{line.mark}: </span>}
      </span>
      <span>
        {keyed(line.parts).map(({ key, item: part }) =>
          part.changed ? (
            <Changed key={key}>
              <Plain text={part.text} />
            </Changed>
          ) : (
            <Plain key={key} text={part.text} />
          ),
        )}
      </span>
    </li>
  );
}

function Fields({ of: difference }: { of: Difference }) {
  if (difference.other === null) return null;
  if (difference.fields.length === 0) return <p>Nothing differs.</p>;
  return difference.fields.map((field) => (
    <div key={field.name} className="review-changed">
      <h4>{plain(field.name)}</h4>
      <ol className="review-diff" tabIndex={0} aria-label={`Difference of ${field.name}`}>
        {keyed(field.lines).map(({ key, item: line }) => (
          <Line key={key} line={line} />
        ))}
      </ol>
    </div>
  ));
}

/** What changed since the version before, or since the last approval for the same repository. */
export function Differences({ draft }: { draft: DraftInFull }) {
  const [to, setTo] = useState<Difference["to"]>(draft.version > 1 ? "previous" : "approved");
  const found = useDifference(draft.id, to);
  const current = found.data?.version === draft.version;
  return (
    <Section title="What is different">
      <div className="filters" role="group" aria-label="What it is compared with">
        {WAYS.map(([way, words]) => (
          <button key={way} type="button" aria-pressed={to === way} onClick={() => setTo(way)}>
            {words}
          </button>
        ))}
      </div>
      {found.error ? (
        <Failure of={found.error} again={() => void found.refetch()} />
      ) : !found.data ? (
        <p className="waiting">…</p>
      ) : current ? (
        <>
          <p className="hint review-compared">
            <Plain text={found.data.sentence} />
          </p>
          <Fields of={found.data} />
        </>
      ) : (
        <p className="hint">The draft has another version by now; its difference is shown with it.</p>
      )}
    </Section>
  );
}
