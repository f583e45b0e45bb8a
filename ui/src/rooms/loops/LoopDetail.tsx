import { useState } from "react";
import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { StateBadge } from "../../parts/StateBadge";
import { plain, shellWords } from "../../parts/words";
import type { LoopControlled, LoopInFull, Me } from "../../types";
import { useLoop } from "../../useOpsService";
import { named } from "./fleet";
import { Intents, Outcome } from "./Intents";
import { LoopVerbs } from "./LoopVerbs";
import { LoopVitals } from "./LoopVitals";
import { Reasons } from "./Reasons";

/** One loop: what is true of it, why, and what may be done. */
export function LoopDetail({ id, repo, me }: { id: string; repo: string | undefined; me: Me }) {
  const found = useLoop(id, repo);
  const [outcome, setOutcome] = useState<LoopControlled>();
  const loop = found.data;
  return (
    <div className="loops">
      <Link href="/loops" className="loops-back">
        ← Loops
      </Link>
      {found.error && !loop ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
      {!found.error && !loop ? <p className="waiting">…</p> : null}
      {loop ? (
        <article aria-label="Loop" className="detail loops-detail">
          <Head loop={loop} />
          {outcome ? <Outcome of={outcome} /> : null}
          {isBefore(loop) ? (
            <p className="banner">
              What stands below was found before the last intent. It is looked at again soon, or now with Reconcile.
            </p>
          ) : null}
          <Reasons loop={loop} />
          {loop.view ? <LoopVitals view={loop.view} /> : null}
          <Section title="Intents">
            <Intents intents={loop.view?.intents ?? []} />
          </Section>
          {loop.view ? <Traces view={loop.view} /> : null}
          <Section title="The same on the command line">
            <Command line={shellWords(["interlock", "loop", "status", ...named(loop)])} />
          </Section>
          <LoopVerbs loop={loop} me={me} onOutcome={setOutcome} />
        </article>
      ) : null}
    </div>
  );
}

/** Whether somebody wanted something of the loop after it was last looked at. */
function isBefore({ view }: LoopInFull): boolean {
  const wanted = view?.intents[0]?.at;
  return Boolean(wanted && view?.judged_at && Date.parse(wanted) > Date.parse(view.judged_at));
}

function Head({ loop }: { loop: LoopInFull }) {
  const lifecycle = loop.view?.lifecycle;
  return (
    <>
      <header className="detail-head">
        <StateBadge state={plain(loop.status)} />
        <h1>{loop.id}</h1>
        {lifecycle ? <span className="loops-state">{lifecycle.title}</span> : null}
        {loop.watch === null ? <Link href={`/runs/${loop.id}`}>its run</Link> : <code>{loop.repo}</code>}
      </header>
      {lifecycle ? (
        <p>
          {lifecycle.means}
          {lifecycle.before && lifecycle.before !== lifecycle.state ? ` Before it was ${plain(lifecycle.before)}.` : ""}
        </p>
      ) : null}
    </>
  );
}

function Traces({ view }: { view: NonNullable<LoopInFull["view"]> }) {
  return (
    <Section title="Traces">
      <p className="hint">
        {view.shared_trace_id
          ? "The last look at it and what was told of it come from one call."
          : "What is known of it comes from several calls."}
      </p>
      <ul className="plain loops-traces" aria-label="Traces">
        {view.traces.map((each) => (
          <li key={each.surface} data-shared={each.trace_id === view.shared_trace_id}>
            <span>{each.surface}</span> <code>{each.trace_id}</code>
          </li>
        ))}
      </ul>
    </Section>
  );
}
