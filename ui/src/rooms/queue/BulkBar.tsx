import { type FormEvent, useState } from "react";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";
import { counted, number, shellWords } from "../../parts/words";
import type { Bulk, BulkVerb, NewBulk } from "../../types";
import { usePreviewBulk, useRunBulk } from "../../useOpsService";
import { isNarrow, optionsOf, PRIORITIES, type Which } from "./address";
import { Sample } from "./BulkShown";

const VERBS = ["cancel", "replan", "retry", "reprioritise"] as const satisfies readonly BulkVerb[];

interface Props {
  which: Which;
  ids: readonly string[];
  all: boolean;
  total: number | undefined;
  onAll: (all: boolean) => void;
  onClear: () => void;
  onRun: (id: string) => void;
}

/** The same on the command line: by the filter, or for each item that was picked. */
function commandOf(body: NewBulk, which: Which): string {
  const reason = body.reason ? [body.verb === "replan" ? "--notes" : "--reason", body.reason] : [];
  const words = [...(body.to ? ["--to", body.to] : []), ...reason];
  const verb = ["interlock", "queue", body.verb];
  if (!body.ids) return shellWords([...verb, ...optionsOf(which), ...words, "--yes"]);
  return `printf '%s\\n' ${shellWords(body.ids)} | xargs -n1 ${shellWords([...verb, ...words])}`;
}

function Asking({
  verb,
  body,
  which,
  onBack,
  onRun,
}: {
  verb: BulkVerb;
  body: Pick<NewBulk, "which" | "ids">;
  which: Which;
  onBack: () => void;
  onRun: (id: string) => void;
}) {
  const [reason, setReason] = useState("");
  const [to, setTo] = useState<string>(PRIORITIES[0]);
  const [seen, setSeen] = useState<Bulk>();
  const preview = usePreviewBulk();
  const run = useRunBulk();
  const asked: NewBulk = { ...body, verb, reason: reason.trim(), ...(verb === "reprioritise" && { to }) };
  const changed = (set: (value: string) => void) => (value: string) => {
    set(value);
    setSeen(undefined);
  };
  const needsWords = verb === "replan" && !reason.trim();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (seen) run.mutate({ params: { path: { bulk_id: seen.id } } }, { onSuccess: (begun) => onRun(begun.id) });
    else preview.mutate({ body: asked }, { onSuccess: setSeen });
  };
  return (
    <form
      className="confirm queue-asking"
      aria-label={`${verb} many`}
      onKeyDown={(event) => event.key === "Escape" && onBack()}
      onSubmit={submit}
    >
      {verb === "reprioritise" ? (
        <label>
          Priority{" "}
          <select value={to} onChange={(event) => changed(setTo)(event.target.value)}>
            {PRIORITIES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      ) : null}
      <label>
        {verb === "replan" ? "What has to be planned anew" : "Reason"}
        <input value={reason} maxLength={2000} autoFocus onChange={(event) => changed(setReason)(event.target.value)} />
      </label>
      {seen ? (
        <Sample bulk={seen} />
      ) : (
        <p className="hint">First it is shown what would happen; nothing is changed by that.</p>
      )}
      <Command line={commandOf(asked, which)} />
      {preview.error || run.error ? <Failure of={run.error ?? preview.error} /> : null}
      <div className="buttons">
        <button
          type="submit"
          className="verb"
          data-tone={seen && verb === "cancel" ? "bad" : undefined}
          disabled={preview.isPending || run.isPending || needsWords || seen?.matched === 0}
        >
          {preview.isPending || run.isPending ? "…" : seen ? `${verb} ${counted(seen.matched, "item")}` : "Preview"}
        </button>
        <button type="button" onClick={onBack}>
          Back
        </button>
      </div>
    </form>
  );
}

/** What can be done with the items that are picked, or with all that match. */
export function BulkBar({ which, ids, all, total, onAll, onClear, onRun }: Props) {
  const [verb, setVerb] = useState<BulkVerb>();
  const many = all ? total : ids.length;
  const clear = () => {
    setVerb(undefined);
    onClear();
  };
  const isNothing = !all && ids.length === 0;
  if (isNothing && !isNarrow(which)) return null;
  return (
    <section className="queue-bulk" aria-label="Many items">
      <div className="buttons">
        <span className="queue-picked" aria-live="polite">
          {isNothing ? "Nothing picked" : `${number(many)} ${all ? "that match" : "picked"}`}
        </span>
        {isNarrow(which) && !all && total ? (
          <button type="button" className="quiet" onClick={() => onAll(true)}>
            Pick all {number(total)} that match
          </button>
        ) : null}
        {isNothing ? null : (
          <>
            {verb === undefined
              ? VERBS.map((each) => (
                  <button key={each} type="button" className="verb" onClick={() => setVerb(each)}>
                    {each}
                  </button>
                ))
              : null}
            <button type="button" className="quiet" onClick={clear}>
              Pick none
            </button>
          </>
        )}
      </div>
      {verb && !isNothing ? (
        <Asking
          key={`${verb} ${all} ${ids.join()}`}
          verb={verb}
          which={which}
          body={all ? { which } : { ids: [...ids] }}
          onBack={() => setVerb(undefined)}
          onRun={(id) => {
            clear();
            onRun(id);
          }}
        />
      ) : null}
    </section>
  );
}
