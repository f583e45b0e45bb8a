import { type Ref, useEffect, useImperativeHandle, useRef, useState } from "react";
import { Failure } from "../../parts/Failure";
import { useKeys } from "../../parts/useKeys";
import type { RunInFull } from "../../types";
import { LogBar } from "./LogBar";
import { LogRow } from "./LogRow";
import { useLines } from "./useLines";
import { hitFrom, useLogSearch } from "./useLogSearch";
import { useLogView } from "./useLogView";

export interface LogHandle {
  /** Look for a text and go to its first line. */
  find: (text: string) => void;
}

function Nothing({ run }: { run: RunInFull }) {
  if (!run.archived_at) return <p className="hint">It has said nothing yet.</p>;
  return (
    <p className="hint">
      Its log is in the archive of the workspace, under {run.id}.json; result and proofs stay here.
    </p>
  );
}

/** A run's log, however long: only what is in view is on the page, and only that is asked for. */
export function RunLog({ run, handle }: { run: RunInFull; handle?: Ref<LogHandle> }) {
  const box = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState<number>();
  const [jumps, setJumps] = useState(false);
  const [range, setRange] = useState({ first: 0, last: 0 });
  const lines = useLines(run, range.first, range.last);
  const view = useLogView(box, lines.total);
  const search = useLogSearch(run.id, text.trim(), lines.total);

  const items = view.rows.getVirtualItems();
  const first = view.base + (items[0]?.index ?? -1) + 1;
  const last = view.base + (items.at(-1)?.index ?? -1) + 1;
  if (first !== range.first || last !== range.last) setRange({ first, last });

  function choose(line: number | undefined) {
    if (line === undefined) return;
    setChosen(line);
    view.goTo(line);
  }
  function step(back: boolean) {
    // What is still looked for is gone to as soon as it is found.
    if (search.lines.length === 0 && search.busy) setJumps(true);
    else choose(hitFrom(search.lines, chosen ?? (back ? Number.POSITIVE_INFINITY : first), back));
  }
  useEffect(() => {
    if (!jumps || !search.lines.length) return;
    setJumps(false);
    choose(search.lines[0]);
  });
  const look = (wanted: string, jump: boolean) => {
    setText(wanted);
    setChosen(undefined);
    setJumps(jump);
  };
  useImperativeHandle(handle, () => ({
    find: (wanted) => {
      look(wanted, true);
      box.current?.scrollIntoView({ block: "center" });
    },
  }));
  const stepBack = () => step(true);
  useKeys({
    "/": () => field.current?.focus(),
    n: () => step(false),
    N: stepBack,
    f: () => view.follow(),
  });
  if (lines.total === 0) return <Nothing run={run} />;
  const live = run.status === "running" || run.status === "pending";
  return (
    <div className="runs-log">
      <LogBar
        field={field}
        text={text}
        onText={(wanted) => look(wanted, false)}
        search={search}
        at={chosen}
        onStep={step}
        total={lines.total}
        onLine={choose}
        following={view.following}
        onFollow={(on) => (on ? view.follow() : view.goTo(first))}
        live={live}
      />
      {lines.failure ? <Failure of={lines.failure} again={lines.again} /> : null}
      <div
        ref={box}
        className="runs-lines"
        role="group"
        tabIndex={0}
        aria-label="Log"
        onScroll={view.scrolled}
        data-live={live || undefined}
      >
        <div role="list" aria-label="Log lines" className="runs-all" style={{ height: view.rows.getTotalSize() }}>
          {items.map((item) => {
            const number = view.base + item.index + 1;
            return (
              <LogRow
                key={number}
                number={number}
                line={lines.line(number)}
                top={item.start}
                total={lines.total}
                wanted={text.trim()}
                chosen={number === chosen}
              />
            );
          })}
        </div>
      </div>
      <p className="hint keys">
        <kbd>/</kbd> searches, <kbd>n</kbd> <kbd>N</kbd> step through what is found, <kbd>f</kbd> follows.
      </p>
    </div>
  );
}
