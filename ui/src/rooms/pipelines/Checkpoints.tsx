import { RelativeTime } from "../../parts/RelativeTime";
import type { PassedCheckpoint, PipelineRunInFull } from "../../types";

function instant(ms: number): string {
  return new Date(ms).toISOString();
}

export function Signature({ of: passed }: { of: PassedCheckpoint }) {
  return (
    <>
      <p>
        Signed by <strong>{passed.agent_id}</strong> with key <code>{passed.keyid}</code>,{" "}
        <RelativeTime at={instant(passed.issued_ms)} />; expires <RelativeTime at={instant(passed.expires_ms)} />
      </p>
      <p>{passed.summary}</p>
      <p className="small">
        over <code>{passed.artefact.path}</code>, sha256 <code>{passed.artefact.sha256}</code>
      </p>
      <p className="small">
        statement <code>{passed.envelope}</code>
      </p>
    </>
  );
}

/** Each checkpoint that a run has to pass: who signed what, or that nobody has. */
export function Checkpoints({
  rules,
  passed,
}: {
  rules: PipelineRunInFull["rules"];
  passed: readonly PassedCheckpoint[];
}) {
  if (rules.length === 0) return <p className="hint">It has none.</p>;
  return (
    <ul className="checkpoints" aria-label="Checkpoints">
      {rules.map((rule) => {
        const found = passed.findLast((each) => each.name === rule.name);
        return (
          <li key={rule.name} data-passed={found !== undefined}>
            <strong>{rule.name}</strong> <span className="small">by the {rule.role}</span>
            {found ? (
              <Signature of={found} />
            ) : (
              <p className="hint">Not signed. It is asked for over {rule.artefact}.</p>
            )}
          </li>
        );
      })}
    </ul>
  );
}
