import { useId, useState } from "react";
import { isProblem, statusOf } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { shellWords } from "../../parts/words";
import type { DraftInFull } from "../../types";
import { useDefaults, useEditDraft } from "../../useOpsService";
import { BothSides } from "./BothSides";
import { changesOf, editOf } from "./changes";
import { DraftFields } from "./DraftFields";
import { ANY_COMMAND, EMPTY, errorsIn, type Fields, fieldsOf, LIMIT_NAMES, optionsOf, problemsOf } from "./form";

interface Props {
  draft: DraftInFull;
  typed: Fields | undefined;
  onTyped: (fields: Fields) => void;
  /** Show the draft as it is now; what is typed stays. */
  onLook: () => Promise<DraftInFull | undefined>;
  onBack: () => void;
  onDone: () => void;
}

function commandOf(draft: DraftInFull, before: Fields, after: Fields, reason: string): string {
  const names = changesOf(before, after).map((each) => each.name);
  const limits = Object.fromEntries(
    LIMIT_NAMES.map((name) => [name, after.limits[name] === before.limits[name] ? "" : after.limits[name]]),
  );
  const changed = Object.fromEntries(Object.entries(after).filter(([name]) => names.includes(name)));
  const led = names.includes("agent") || (names.includes("command") && !after.command.trim()); // one frees the other
  const whole = led ? { agent: after.agent, command: after.command } : {};
  const options = optionsOf({ ...EMPTY, ...changed, ...whole, limits: { ...EMPTY.limits, ...limits } });
  const said = names.includes("prompt") ? options : options.slice(2);
  const any = led && after.agent === ANY_COMMAND ? ["--agent", ANY_COMMAND] : [];
  const network = names.includes("network") && after.network ? ["--network"] : [];
  const why = reason ? ["--reason", reason] : [];
  const seen = ["--version", `${draft.version}`];
  return shellWords(["interlock", "draft", "edit", draft.id, ...seen, ...said, ...any, ...network, ...why]);
}

/** Change a draft: what will change is shown before it is, and a version that nobody looked at is not overwritten. */
export function EditDraft({ draft, typed, onTyped, onLook, onBack, onDone }: Props) {
  const [reason, setReason] = useState("");
  const [now, setNow] = useState<DraftInFull>();
  const field = useId();
  const defaults = useDefaults();
  const edit = useEditDraft();
  const before = fieldsOf(draft);
  const fields = typed ?? before;
  const changes = changesOf(before, fields);
  const emptied = before.content !== "" && !fields.content.trim();
  const wrong = { ...problemsOf(fields), ...(emptied ? { content: "A content can be changed, not taken away." } : {}) };
  const stale = [409, 412].includes(statusOf(edit.error) ?? 0);
  const errors = { ...wrong, ...(isProblem(edit.error) ? errorsIn(edit.error) : {}) };

  function send() {
    if (edit.isPending || changes.length === 0 || Object.keys(wrong).length) return;
    const params = { path: { draft_id: draft.id }, header: { "if-match": `"${draft.version}"` } };
    edit.mutate({ params, body: editOf(draft, before, fields, reason.trim()) }, { onSuccess: onDone });
  }
  async function goOn() {
    onTyped(fields); // what is typed stays, whatever the draft says now
    setNow(await onLook());
    edit.reset();
  }
  return (
    <form
      className="detail"
      aria-label="Edit"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <h2>
        Edit {draft.id}, version {draft.version}
      </h2>
      {now && now.status !== "draft" && now.status !== "error" ? (
        <p className="banner">
          It is {now.status} by now{now.decided_by ? `, by ${now.decided_by}` : ""}, and can not change any more. What
          you typed is still here, to be copied.
        </p>
      ) : null}
      <DraftFields fields={fields} errors={errors} defaults={defaults.data} onChange={onTyped} />
      <Section title={now ? `What will change in version ${draft.version}` : "What will change"}>
        {changes.length ? (
          <BothSides of={changes} left={`version ${draft.version}, as it is`} right="yours" />
        ) : (
          <p className="hint">Nothing yet.</p>
        )}
      </Section>
      <div className="review-field">
        <label htmlFor={field}>Reason</label>
        <input id={field} value={reason} maxLength={2000} onChange={(event) => setReason(event.target.value)} />
      </div>
      <Command line={commandOf(draft, before, fields, reason.trim())} />
      {edit.error ? <Failure of={edit.error} /> : null}
      <div className="actions">
        <button type="submit" className="verb" data-tone="good" disabled={edit.isPending || changes.length === 0}>
          {edit.isPending ? "…" : "Edit"}
        </button>
        {stale ? (
          <button type="button" onClick={() => void goOn()}>
            Show both versions
          </button>
        ) : null}
        <button type="button" onClick={onBack}>
          Back
        </button>
      </div>
    </form>
  );
}
