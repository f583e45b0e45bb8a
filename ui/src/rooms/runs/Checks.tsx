import { Section } from "../../parts/Facts";
import { visible } from "../../parts/hidden";
import { keyed } from "../../parts/keyed";
import { StateBadge } from "../../parts/StateBadge";
import { shellWords, span } from "../../parts/words";
import type { RunInFull } from "../../types";

/** The approved checks of a result: the command, how it ended, how long it took, and the way to its output. */
export function Checks({ run, onOutput }: { run: RunInFull; onOutput: (text: string) => void }) {
  const checks = run.result?.checks ?? [];
  if (!run.result) return null;
  if (!checks.length) {
    return (
      <Section title="Checks">
        <p className="hint">None was carried out.</p>
      </Section>
    );
  }
  return (
    <Section title="Checks">
      <ul className="plain runs-checks" aria-label="Checks">
        {keyed(checks).map(({ key, item: check }) => (
          <li key={key} data-passed={check.passed}>
            <StateBadge state={check.passed ? "passed" : "failed"} />
            <code>{visible(shellWords(check.command))}</code>
            <span className="small">
              {check.exit_code === null ? check.ended_by : `exit ${check.exit_code}`} · {span(check.duration_ms)}
            </span>
            <button type="button" className="quiet" onClick={() => onOutput(`Check: ${check.command.join(" ")}`)}>
              Output
            </button>
          </li>
        ))}
      </ul>
    </Section>
  );
}
