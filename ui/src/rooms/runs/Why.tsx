import type { RunInFull } from "../../types";

/** Why a run is where it is, in words, and what to do next. */
export function Why({ run }: { run: RunInFull }) {
  if (!run.why && !run.message) return null;
  if (!run.why) return <p className="banner">{run.message}</p>;
  return (
    <section className="banner runs-why" data-tone={run.status === "error" ? "bad" : undefined} aria-label="Why">
      <p>
        <strong>{run.why.says}</strong>
      </p>
      {run.message ? <p>{run.message}</p> : null}
      <p className="runs-next">{run.why.hint}</p>
      <p className="small">
        reason <code>{run.why.reason}</code>
      </p>
    </section>
  );
}
