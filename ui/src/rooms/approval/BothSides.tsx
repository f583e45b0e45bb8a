import type { Change } from "./changes";
import { Plain } from "./Plain";

/** Two versions of what differs, side by side; on a phone one below the other. */
export function BothSides({ of: changes, left, right }: { of: readonly Change[]; left: string; right: string }) {
  return changes.map(({ name, before, after }) => (
    <div key={name} className="review-changed">
      <h4>{name}</h4>
      <div className="review-sides">
        {(
          [
            [left, before, "−"],
            [right, after, "+"],
          ] as const
        ).map(([title, text, sign]) => (
          <div key={title} data-mark={sign === "+" ? "added" : "removed"}>
            <p className="small">
              <span aria-hidden="true">{sign}</span> {title}
            </p>
            <pre className="text" tabIndex={0} role="group" aria-label={`${title}: ${name}`}>
              {text ? <Plain text={text} /> : <em>nothing</em>}
            </pre>
          </div>
        ))}
      </div>
    </div>
  ));
}
