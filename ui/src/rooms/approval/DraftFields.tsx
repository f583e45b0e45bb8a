import { type ReactNode, useId } from "react";
import { pieces } from "../../parts/hidden";
import { plain, shellWords } from "../../parts/words";
import type { Defaults } from "../../types";
import { AGENTS, ANY_COMMAND, type Errors, type Fields, LIMIT_NAMES, RUNGS, readContext } from "./form";
import { CommandBlock } from "./Plain";
import { readCommand } from "./shell";

interface Props {
  fields: Fields;
  errors: Errors;
  defaults: Defaults | undefined;
  /** The work of a generated draft is the workspace's own until it is edited. */
  only?: "prompt";
  onChange: (fields: Fields) => void;
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error: string | undefined;
  children: (given: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ReactNode;
}

function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  return (
    <div className="review-field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": error !== undefined })}
      <div id={`${id}-hint`} className="small">
        {error ? <p className="review-error">{error}</p> : null}
        {hint}
      </div>
    </div>
  );
}

/** A field shows a text as the browser does; what it would not show is told beside it. */
function NotSeen({ text }: { text: string }) {
  const names = [...new Set(pieces(text).flatMap((piece) => (piece.hidden ? [piece.text] : [])))];
  if (names.length === 0) return null;
  return <p className="review-error">Holds characters that are not seen: {names.slice(0, 10).join(", ")}</p>;
}

function CommandRead({ text }: { text: string }) {
  const read = text.trim() ? readCommand(text) : undefined;
  if (!read || !("words" in read)) return null;
  return (
    <>
      <p>Will be started as these {read.words.length} words, without a shell:</p>
      <CommandBlock command={read.words} />
    </>
  );
}

const LIMIT_HINTS: Readonly<Record<string, string>> = {
  tokens: "As the agent says; 0: no limit.",
  cost_microusd: "Millionths of a US dollar; 0: no limit.",
};

function LimitFields({ fields, errors, defaults, onChange }: Props) {
  return (
    <fieldset className="review-limits">
      <legend>Limits</legend>
      {LIMIT_NAMES.map((name) => (
        <Field key={name} label={plain(name)} hint={LIMIT_HINTS[name]} error={errors[name]}>
          {(given) => (
            <input
              {...given}
              inputMode="numeric"
              placeholder={defaults ? `${defaults.work.limits[name]}` : ""}
              value={fields.limits[name]}
              onChange={(event) => onChange({ ...fields, limits: { ...fields.limits, [name]: event.target.value } })}
            />
          )}
        </Field>
      ))}
    </fieldset>
  );
}

const AGENT_WORDS: Readonly<Record<string, string>> = { [ANY_COMMAND]: "any command, or the workspace's own agent" };
const RUNG_WORDS: Readonly<Record<string, string>> = {
  "": "what the workspace asks for",
  self_reported: "self_reported: somebody says so",
  exit_code: "exit_code: its process ended with 0",
  checked: "checked: its checks passed on exactly the result",
  ci: "ci: CI says so of exactly the result",
};

interface ChoiceProps {
  label: string;
  hint: string;
  error: string | undefined;
  among: readonly string[];
  words: Readonly<Record<string, string>>;
  value: string;
  onChoose: (value: string) => void;
}

/** One of several words; one that this page does not know stays what it is. */
function Choice({ label, hint, error, among, words, value, onChoose }: ChoiceProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(given) => (
        <select {...given} value={value} onChange={(event) => onChoose(event.target.value)}>
          {[...among, ...(among.includes(value) ? [] : [value])].map((each) => (
            <option key={each} value={each}>
              {words[each] ?? each}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** The fields of a draft, for writing one and for changing one. */
export function DraftFields(props: Props) {
  const { fields, errors, defaults, only, onChange } = props;
  type Texts = Exclude<keyof Fields, "network" | "limits" | "agent" | "rung">;
  const text = (name: Texts, label: string, rows: number, hint?: ReactNode, placeholder?: string | null) => (
    <Field
      label={label}
      hint={
        <>
          <NotSeen text={fields[name]} />
          {hint}
        </>
      }
      error={errors[name]}
    >
      {(given) => {
        const shared = {
          ...given,
          value: fields[name],
          placeholder: placeholder ?? "",
          spellCheck: name === "prompt" || name === "content",
        };
        const changed = (value: string) => onChange({ ...fields, [name]: value });
        return rows > 1 ? (
          <textarea {...shared} rows={rows} onChange={(event) => changed(event.target.value)} />
        ) : (
          <input {...shared} onChange={(event) => changed(event.target.value)} />
        );
      }}
    </Field>
  );
  const work = defaults?.work;
  const asText = fields.context.trim() && readContext(fields.context)?.text === fields.context;
  const aboutContext = asText ? "No JSON object: is sent as the text under “text”." : "A text, or a JSON object.";
  const aboutBase = "A commit, branch or tag; looked up when the draft is made.";
  const defaultChecks = work?.checks.map((each) => shellWords(each)).join("\n");
  return (
    <>
      {text("prompt", "Prompt", 8, "What the agent should do.")}
      {only ? null : text("content", "Content", 4, "What goes with the prompt, such as a plan or a text to work on.")}
      {text("context", "Context", 3, aboutContext)}
      {only ? null : (
        <>
          <div className="review-pair">
            {text("repository", "Repository", 1, "An absolute path on the server, or an address.", work?.repository)}
            {text("base", "Commit to start from", 1, aboutBase, work?.base_ref ?? "HEAD")}
          </div>
          <div className="review-pair">
            <Choice
              label="Agent"
              hint="Its command is written from this draft, or it reads what the command below prints."
              error={errors.agent}
              among={AGENTS}
              words={AGENT_WORDS}
              value={fields.agent}
              onChoose={(agent) => onChange({ ...fields, agent })}
            />
            {text("model", "Model", 1, "Where the agent's own default is not meant.", work?.model)}
          </div>
          {text("tools", "Tools", 2, "One a line: what the agent may use without asking.", work?.tools?.join("\n"))}
          {text(
            "command",
            "Agent command",
            2,
            <CommandRead text={fields.command} />,
            work?.command ? shellWords(work.command) : 'sh -c "make"  or  ["sh", "-c", "make"]',
          )}
          {text("checks", "Checks", 2, "One command a line; each must succeed on the result.", defaultChecks)}
          {text("environment", "Environment", 1, "Names of variables to hand through.", work?.environment.join(" "))}
          <div className="review-pair">
            {text("needs", "Needs", 1, "NAME or NAME=VALUE that a node must have to take it.", work?.needs?.join(" "))}
            <Choice
              label="Done when"
              hint="The least evidence that is accepted."
              error={errors.rung}
              among={["", ...RUNGS]}
              words={RUNG_WORDS}
              value={fields.rung}
              onChoose={(chosen) => onChange({ ...fields, rung: RUNGS.find((each) => each === chosen) ?? "" })}
            />
          </div>
          <label className="tick">
            <input
              type="checkbox"
              checked={fields.network}
              onChange={(event) => onChange({ ...fields, network: event.target.checked })}
            />
            The agent may reach the network
          </label>
          <LimitFields {...props} />
        </>
      )}
    </>
  );
}
