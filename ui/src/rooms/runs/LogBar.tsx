import { type RefObject, useState } from "react";
import { Failure } from "../../parts/Failure";
import { number } from "../../parts/words";
import type { Search } from "./useLogSearch";

interface Props {
  field: RefObject<HTMLInputElement | null>;
  text: string;
  onText: (text: string) => void;
  search: Search;
  at: number | undefined;
  onStep: (back: boolean) => void;
  total: number;
  onLine: (line: number) => void;
  following: boolean;
  onFollow: (on: boolean) => void;
  live: boolean;
}

function told({ text, lines, busy, full }: Search, at: number | undefined): string {
  if (!text) return "";
  const count = `${number(lines.length)}${busy || full ? "+" : ""}`;
  const place = at === undefined ? -1 : lines.indexOf(at);
  if (lines.length === 0) return busy ? "searching…" : "no line";
  return place < 0 ? `${count} ${lines.length === 1 ? "line" : "lines"}` : `${number(place + 1)} of ${count}`;
}

function LineField({ total, onLine }: { total: number; onLine: (line: number) => void }) {
  const [wanted, setWanted] = useState("");
  return (
    <form
      className="runs-goto"
      onSubmit={(event) => {
        event.preventDefault();
        if (wanted) onLine(Number(wanted));
      }}
    >
      <input
        aria-label="Go to line"
        placeholder="line"
        inputMode="numeric"
        value={wanted}
        maxLength={9}
        onChange={(event) => setWanted(event.target.value.replace(/\D/g, ""))}
      />
      <span className="small">of {number(total)}</span>
    </form>
  );
}

/** What can be done with a log: look for something, go to a line, stay at the end. */
export function LogBar({ field, text, onText, search, at, onStep, total, onLine, following, onFollow, live }: Props) {
  return (
    <div className="runs-logbar" role="search" aria-label="Log">
      <input
        ref={field}
        type="search"
        aria-label="Search the log"
        placeholder="Search the log"
        value={text}
        maxLength={200}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") onStep(event.shiftKey);
          if (event.key === "Escape") onText("");
        }}
      />
      <span className="small runs-hits" role="status">
        {told(search, at)}
      </span>
      <button type="button" className="quiet" disabled={!search.lines.length} onClick={() => onStep(true)}>
        Previous
      </button>
      <button type="button" className="quiet" disabled={!search.lines.length} onClick={() => onStep(false)}>
        Next
      </button>
      <LineField total={total} onLine={onLine} />
      <button type="button" className="quiet" aria-pressed={following} onClick={() => onFollow(!following)}>
        {live ? "Follow" : "To the end"}
      </button>
      {search.failure ? <Failure of={search.failure} /> : null}
    </div>
  );
}
