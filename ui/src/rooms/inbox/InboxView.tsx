import { useRef } from "react";
import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { useKeys } from "../../parts/useKeys";
import type { ViewProps } from "../../parts/ViewProps";
import type { Inbox } from "../../types";
import { useInbox } from "../../useOpsService";
import { Kinds } from "./Kinds";
import { Matter } from "./Matter";
import { NothingWaits } from "./NothingWaits";
import "./inbox.css";

function said({ items, more }: Inbox): string {
  const many = items.length;
  const mine = items.filter((item) => item.next).length;
  if (many === 0) return "Nothing waits for a person.";
  const what = many === 1 ? "1 matter waits" : `${more ? "More than " : ""}${many} matters wait, the dearest first`;
  if (mine === many) return `${what}.`;
  return `${what}; you can end ${mine === 0 ? "none of them" : `${mine} of them`}.`;
}

/** Walk the list: j and k move the focus from verb to verb, and Enter goes where the verb is. */
function useWalk() {
  const list = useRef<HTMLDivElement>(null);
  const step = (by: number) => {
    const stops = [...(list.current?.querySelectorAll<HTMLElement>(".inbox-go") ?? [])];
    const at = document.activeElement instanceof HTMLElement ? stops.indexOf(document.activeElement) : -1;
    const next = stops[at < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(stops.length - 1, Math.max(0, at + by))];
    next?.focus();
    next?.scrollIntoView?.({ block: "nearest" });
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  return list;
}

function Listed({ found, chosen }: { found: Inbox; chosen: string | null }) {
  const kinds = chosen === null ? found.kinds : found.kinds.filter(({ kind }) => kind === chosen);
  if (kinds.length === 0) {
    return (
      <Empty title="Nothing of this kind waits">
        <Link href="/inbox">Show everything that waits</Link>
      </Empty>
    );
  }
  return kinds.map((kind) => (
    <section key={kind.kind} className="inbox-kind" aria-labelledby={`inbox-${kind.kind}`}>
      <header>
        <h2 id={`inbox-${kind.kind}`}>{kind.title}</h2>
        <p className="small">{kind.cost}</p>
      </header>
      <ul>
        {found.items
          .filter((item) => item.kind === kind.kind)
          .map((item) => (
            <Matter key={item.id} item={item} />
          ))}
      </ul>
      {kind.more ? (
        <p className="hint">
          There are more. <code>interlock inbox --most 100</code> lists them.
        </p>
      ) : null}
    </section>
  ));
}

/** Everything that waits for a person, ranked by what waiting costs. */
export default function InboxView({ me }: ViewProps) {
  const inbox = useInbox();
  const chosen = new URLSearchParams(useSearch()).get("kind");
  const list = useWalk();
  const found = inbox.data;
  return (
    <div className="page inbox">
      <header className="inbox-head">
        <h1>Inbox</h1>
        <p className="hint" role="status">
          {found ? said(found) : "…"}
        </p>
        <p className="hint keys">
          <kbd>j</kbd> <kbd>k</kbd> walk, <kbd>Enter</kbd> goes there
        </p>
      </header>
      {inbox.error ? <Failure of={inbox.error} again={() => void inbox.refetch()} /> : null}
      {found && found.items.length === 0 ? <NothingWaits me={me} /> : null}
      {found && found.items.length > 0 ? (
        <>
          <Kinds kinds={found.kinds} chosen={chosen} />
          <div ref={list}>
            <Listed found={found} chosen={chosen} />
          </div>
        </>
      ) : null}
    </div>
  );
}
