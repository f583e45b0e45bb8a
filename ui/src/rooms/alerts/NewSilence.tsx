import { useDeferredValue, useId, useState } from "react";
import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";
import { StateBadge } from "../../parts/StateBadge";
import { shellWords } from "../../parts/words";
import { useSilence, useSilencePreview } from "../../useOpsService";
import { useRenewAlerts } from "./AlertVerbs";
import { SPANS, titleOf } from "./words";

function Preview({ source, category }: { source: string; category: string }) {
  const found = useSilencePreview(useDeferredValue(source), useDeferredValue(category));
  if (found.error) return <Failure of={found.error} />;
  const seen = found.data;
  if (!seen) return <p className="hint">…</p>;
  return (
    <div className="alerts-preview" role="status" aria-label="What it would silence">
      <strong>
        {seen.count === 0
          ? "No alert that stands now would be silenced."
          : `${seen.count} ${seen.count === 1 ? "alert that stands" : "alerts that stand"} now would be silenced:`}
      </strong>
      <ul className="plain">
        {seen.alerts.map((alert) => (
          <li key={alert.id}>
            <StateBadge state={alert.severity} /> <Link href={`/alerts/${alert.id}`}>{titleOf(alert)}</Link>
          </li>
        ))}
      </ul>
      {seen.count > seen.alerts.length ? <p className="small">and {seen.count - seen.alerts.length} more</p> : null}
    </div>
  );
}

/** A silence: what it covers is shown before it is made. */
export function NewSilence() {
  const [category, setCategory] = useState("");
  const [source, setSource] = useState("");
  const [span, setSpan] = useState("2h");
  const [reason, setReason] = useState("");
  const silence = useSilence();
  const renew = useRenewAlerts();
  const one = useId();
  const asked = { category: category.trim(), source: source.trim() };
  const words = ["interlock", "alert", "silence", "--reason", reason.trim() || "WHY", "--for", span];
  if (asked.category) words.push("--category", asked.category);
  if (asked.source) words.push("--source", asked.source);
  const make = () =>
    silence.mutate(
      { body: { ...asked, reason: reason.trim(), seconds: SPANS.find(([word]) => word === span)?.[1] ?? 7_200 } },
      {
        onSuccess: () => {
          setReason("");
          setCategory("");
          setSource("");
          renew();
        },
      },
    );
  return (
    <form
      className="confirm alerts-form"
      aria-label="Silence"
      onSubmit={(event) => {
        event.preventDefault();
        make();
      }}
    >
      <p className="hint">
        Empty holds for all; one that ends in <code>*</code> holds for what begins so.
      </p>
      <label htmlFor={`${one}c`}>Category</label>
      <input
        id={`${one}c`}
        value={category}
        maxLength={128}
        placeholder="health_*"
        onChange={(event) => setCategory(event.target.value)}
      />
      <label htmlFor={`${one}s`}>Source</label>
      <input
        id={`${one}s`}
        value={source}
        maxLength={300}
        placeholder="loop:*"
        onChange={(event) => setSource(event.target.value)}
      />
      <label htmlFor={`${one}f`}>For</label>
      <select id={`${one}f`} value={span} onChange={(event) => setSpan(event.target.value)}>
        {SPANS.map(([word, , name]) => (
          <option key={word} value={word}>
            {name}
          </option>
        ))}
      </select>
      <label htmlFor={`${one}r`}>Reason</label>
      <input id={`${one}r`} value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
      <Preview {...asked} />
      <Command line={shellWords(words)} />
      {silence.error ? <Failure of={silence.error} /> : null}
      <div className="buttons">
        <button type="submit" className="verb" disabled={silence.isPending || !reason.trim()}>
          {silence.isPending ? "…" : "Silence"}
        </button>
        {reason.trim() ? null : <span className="hint">Whoever wonders reads the reason.</span>}
      </div>
    </form>
  );
}
