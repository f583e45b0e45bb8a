import type { ReactNode } from "react";
import { Section } from "../../parts/Facts";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { plain } from "../../parts/words";
import type { LoopView } from "../../types";
import { lasting } from "./fleet";

type Tone = "good" | "waits" | "bad" | "still";

function Vital({ name, tone, says, children }: { name: string; tone: Tone; says: ReactNode; children?: ReactNode }) {
  return (
    <div className="loops-vital" data-tone={tone} role="group" aria-label={name}>
      <h4>{name}</h4>
      <p className="loops-says">{says}</p>
      <div className="small">{children}</div>
    </div>
  );
}

const HEARTBEAT: Readonly<Record<string, Tone>> = { fresh: "good", degraded: "waits", critical: "bad", failed: "bad" };

function Heartbeat({ beat }: { beat: LoopView["heartbeat"] }) {
  if (beat === null) {
    return (
      <Vital name="Heartbeat" tone="still" says="none">
        The runtime has never written one.
      </Vital>
    );
  }
  return (
    <Vital name="Heartbeat" tone={HEARTBEAT[beat.status] ?? "still"} says={<RelativeTime at={beat.at} />}>
      {beat.trouble ? beat.trouble.title : "fresh"} when it was reconciled
      {beat.lag_seconds === null ? "" : `, ${lasting(beat.lag_seconds)} old`}; late after{" "}
      {lasting(beat.degraded_after_seconds)}, critical after {lasting(beat.critical_after_seconds)}
    </Vital>
  );
}

function Sequence({ sequence }: { sequence: LoopView["sequence"] }) {
  if (sequence === null) return <Vital name="Sequence" tone="still" says="not looked at" />;
  const gap = sequence.seen !== null && sequence.expected !== null && sequence.seen < sequence.expected;
  return (
    <Vital name="Sequence" tone={sequence.violations.length ? "bad" : "good"} says={plain(sequence.status)}>
      event {sequence.seen ?? "—"} is the last that is known, {sequence.expected ?? "none"} was before
      {gap ? ": events are missing" : ""}
      {sequence.violations.map((each) => (
        <p key={each.code}>{each.means}</p>
      ))}
    </Vital>
  );
}

function Divergence({ flags }: { flags: LoopView["divergence"] }) {
  return (
    <Vital
      name="Divergence"
      tone={flags.length ? "bad" : "good"}
      says={flags.length ? flags.map((each) => each.title).join("; ") : "none"}
    >
      {flags.length ? flags.map((each) => <p key={each.code}>{each.means}</p>) : "Its records agree with each other."}
    </Vital>
  );
}

function Drift({ drift }: { drift: LoopView["drift"] }) {
  if (drift === null) return <Vital name="Threshold profile" tone="still" says="not looked at" />;
  return (
    <Vital name="Threshold profile" tone={drift.status === "drift_active" ? "waits" : "still"} says={drift.title}>
      {drift.means} Applied: {drift.applied ?? "none"}; recommended: {drift.recommended ?? "none"}
      {drift.confidence ? ` (confidence ${drift.confidence})` : ""}
      {drift.streak ? `, ${drift.streak} of ${drift.required ?? "?"} times` : ""}. {drift.rationale}
      {drift.do ? <p>{drift.do}</p> : null}
    </Vital>
  );
}

function LastLook({ view }: { view: LoopView }) {
  const last = view.reconcile;
  if (last === null) return <Vital name="Last look" tone="still" says="none" />;
  return (
    <Vital name="Last look" tone={last.status === "success" ? "good" : "bad"} says={<RelativeTime at={last.at} />}>
      <StateBadge state={last.status} /> over {last.transport ?? "an unknown transport"}; {view.events_read} of{" "}
      {view.events_total} events are read
      {last.failure_code ? (
        <p>
          {last.failure ?? ""} <code>{last.failure_code}</code>
        </p>
      ) : null}
    </Vital>
  );
}

/** What is measured of a loop, each with its limit. */
export function LoopVitals({ view }: { view: LoopView }) {
  const { lifecycle } = view;
  return (
    <Section title="What is measured">
      <div className="loops-vitals">
        <Heartbeat beat={view.heartbeat} />
        <Sequence sequence={view.sequence} />
        <Divergence flags={view.divergence} />
        <Drift drift={view.drift} />
        <Vital name="Run" tone="still" says={`iteration ${lifecycle.iteration ?? "—"}`}>
          <code>{lifecycle.run_id ?? "unknown"}</code>; last event {lifecycle.last_event ?? "none"}{" "}
          <RelativeTime at={lifecycle.last_event_at} />
          {lifecycle.signal ? (
            <p>
              So by {lifecycle.signal}, confidence {lifecycle.confidence ?? "unknown"}.
            </p>
          ) : null}
        </Vital>
        <LastLook view={view} />
      </div>
    </Section>
  );
}
