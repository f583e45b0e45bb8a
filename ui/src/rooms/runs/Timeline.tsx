import { useEffect, useState } from "react";
import { serverNow } from "../../api/clock";
import { Block } from "../../parts/Block";
import { asText, span } from "../../parts/words";
import type { RunInFull, Step } from "../../types";

const FAILS_IN: Readonly<Record<string, string>> = {
  agent_failed: "agent",
  no_command: "agent",
  check_failed: "verify",
};

/** Name the step in which a run went wrong: the reason tells, or it is the last that was not finished. */
export function failedStep(run: RunInFull): string | undefined {
  if (run.status !== "error" || !run.reason) return undefined;
  if (run.reason.startsWith("limit_")) return "agent";
  const open = run.steps.find((step) => step.ended_at === null);
  return FAILS_IN[run.reason] ?? (open ?? run.steps.findLast((step) => step.name !== "finish"))?.name;
}

/** The clock, while something is under way; it asks the server for nothing. */
function useNow(goes: boolean): number {
  const [now, setNow] = useState(() => serverNow());
  useEffect(() => {
    if (!goes) return;
    const timer = setInterval(() => setNow(serverNow()), 1_000);
    return () => clearInterval(timer);
  }, [goes]);
  return now;
}

function Bar({ from, to, begin, whole }: { from: number; to: number; begin: number; whole: number }) {
  const percent = (ms: number) => `${Math.min(100, Math.max(0, (100 * ms) / whole))}%`;
  return (
    <span className="runs-track" aria-hidden="true">
      <span className="runs-bar" style={{ left: percent(from - begin), width: percent(to - from) }} />
    </span>
  );
}

function standing(step: Step, failed: boolean, goes: boolean): string {
  if (failed) return "failed";
  if (step.ended_at !== null) return "ended";
  return goes ? "goes" : "broken";
}
const WORDS: Readonly<Record<string, string>> = {
  failed: "failed here",
  goes: "under way",
  broken: "never ended",
  ended: "",
};

/** A run's steps over its time, each as long as it took. */
export function Timeline({ run }: { run: RunInFull }) {
  const goes = run.status === "running";
  const now = useNow(goes);
  const failed = failedStep(run);
  const end = (step: Step) => Date.parse(step.ended_at ?? "") || (goes ? now : Date.parse(run.ended_at ?? "")) || now;
  const begin = Math.min(...run.steps.map((step) => Date.parse(step.started_at)).filter((at) => !Number.isNaN(at)));
  const whole = Math.max(1, Math.max(...run.steps.map(end)) - begin);
  if (!run.steps.length) {
    return <p className="hint">{run.archived_at ? "Its steps are in the archive." : "No step has begun."}</p>;
  }
  return (
    <ol className="runs-steps" aria-label="Steps">
      {run.steps.map((step) => {
        const stands = standing(step, step.name === failed, goes);
        return (
          <li key={`${step.fence} ${step.name}`} data-stands={stands}>
            <details>
              <summary>
                <strong>{step.name}</strong>
                <Bar from={Date.parse(step.started_at) || begin} to={end(step)} begin={begin} whole={whole} />
                <span className="runs-took">{step.ended_at === null ? WORDS[stands] : span(step.duration_ms)}</span>
                {stands === "failed" && step.ended_at !== null ? (
                  <span className="runs-failed">failed here</span>
                ) : null}
              </summary>
              <Block name={`What ${step.name} gave`} text={asText(step.output)} />
            </details>
          </li>
        );
      })}
    </ol>
  );
}
