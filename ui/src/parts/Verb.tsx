import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Command } from "./Copy";
import { Failure } from "./Failure";
import { Shortcut } from "./Shortcut";

interface Props {
  /** As the command line and the server name it. */
  verb: string;
  shortcut?: string;
  tone?: "good" | "bad";
  /** `optional`: it is there to be filled, and what is done first is to decide. */
  asksReason?: boolean | "optional";
  /** What happens, before it is asked for. */
  about: ReactNode;
  command: (reason: string) => string;
  open: boolean;
  onOpen: (open: boolean) => void;
  busy: boolean;
  failure: unknown;
  onDo: (reason: string) => void;
}

/** A verb in two steps: say what it does, then do it. */
export function Verb({ verb, shortcut, tone, asksReason, about, command, open, onOpen, busy, failure, onDo }: Props) {
  const [reason, setReason] = useState("");
  const field = useId();
  const button = useRef<HTMLButtonElement>(null);
  const wasOpen = useRef(open);
  useEffect(() => {
    if (wasOpen.current && !open) button.current?.focus(); // who goes back is where they came from
    wasOpen.current = open;
  }, [open]);
  if (!open) {
    return (
      <button
        ref={button}
        type="button"
        className="verb"
        data-tone={tone}
        aria-keyshortcuts={shortcut}
        onClick={() => onOpen(true)}
      >
        {verb}
        {shortcut ? <Shortcut of={shortcut} /> : null}
      </button>
    );
  }
  return (
    <form
      className="confirm"
      aria-label={verb}
      onKeyDown={(event) => {
        if (event.key === "Escape") onOpen(false);
        if (event.key === "Enter" && event.repeat) event.preventDefault(); // held since the verb was opened
      }}
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) onDo(reason.trim());
      }}
    >
      <div>{about}</div>
      {asksReason ? (
        <>
          <label htmlFor={field}>
            Reason{asksReason === "optional" ? <span className="small"> (optional)</span> : null}
          </label>
          <input
            id={field}
            value={reason}
            maxLength={2000}
            autoFocus={asksReason === true}
            onChange={(event) => setReason(event.target.value)}
          />
        </>
      ) : null}
      <Command line={command(reason.trim())} />
      {failure ? <Failure of={failure} /> : null}
      <div className="buttons">
        <button
          type="submit"
          className="verb"
          data-tone={tone}
          disabled={busy}
          autoFocus={asksReason !== true}
          onClick={(event) => {
            if (event.detail > 1) event.preventDefault(); // the second half of the click that opened it
          }}
        >
          {busy ? "…" : verb}
        </button>
        <button type="button" onClick={() => onOpen(false)}>
          Back
        </button>
      </div>
    </form>
  );
}
