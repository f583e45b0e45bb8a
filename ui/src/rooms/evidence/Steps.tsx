import type { Step } from "./verifying";

const WORDS = { holds: "holds", fails: "does not hold", undecided: "not checked" } as const;

/** Each step of a check with its own word; the colour only repeats it. */
export function Steps({ steps, label }: { steps: readonly Step[]; label: string }) {
  return (
    <ol className="evidence-steps" aria-label={label}>
      {steps.map((step) => (
        <li key={step.name} data-state={step.state}>
          <strong>{step.name}</strong>
          <span className="evidence-word">{WORDS[step.state]}</span>
          <span className="evidence-said">{step.said}</span>
        </li>
      ))}
    </ol>
  );
}
