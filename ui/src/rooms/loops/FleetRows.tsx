import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { useKeys } from "../../parts/useKeys";
import { plain } from "../../parts/words";
import type { Loop } from "../../types";
import { addressOf, profile } from "./fleet";

const SMOOTH_UP_TO = 200;
const ROW_HEIGHT = 62;
const HEADS = ["loop", "health", "state", "what is wrong", "heartbeat", "order", "profile", "last control"];

/** One that has nothing to say is left out where there is no room for a column. */
function Cell({ name, empty = false, children }: { name: string; empty?: boolean; children: ReactNode }) {
  return (
    <span className="loops-cell" data-cell={name} data-empty={empty}>
      <span className="loops-label">{name} </span>
      {children}
    </span>
  );
}

function order(loop: Loop): string {
  if (loop.divergence) return "diverges";
  return loop.sequence === null ? "—" : plain(loop.sequence);
}

function FleetRow({ loop }: { loop: Loop }) {
  return (
    <Link href={addressOf(loop)} className="loops-row" data-health={loop.status}>
      <span className="loops-cell loops-name">
        <strong>{loop.id}</strong>
        <span className="small">{loop.watch === null ? "a run of ours" : loop.repo}</span>
      </span>
      <Cell name="health">
        <StateBadge state={plain(loop.status)} />
      </Cell>
      <Cell name="state">{loop.state ? plain(loop.state) : "—"}</Cell>
      <Cell name="what is wrong" empty={!loop.why.length && !loop.frozen.length}>
        {loop.why.length ? loop.why.join("; ") : "nothing"}
        {loop.frozen.length ? <span className="loops-frozen"> · frozen for machines</span> : null}
      </Cell>
      <Cell name="heartbeat">
        <RelativeTime at={loop.heartbeat_at} />
      </Cell>
      <Cell name="order" empty={!loop.divergence && loop.sequence === "ok"}>
        {order(loop)}
      </Cell>
      <Cell name="profile" empty={profile(loop.drift) === "—"}>
        {profile(loop.drift)}
      </Cell>
      <Cell name="last control" empty={loop.last_control === null}>
        {loop.last_control ? plain(loop.last_control) : "—"}
      </Cell>
    </Link>
  );
}

/** Walk with j and k: the row's link gets the focus, so Enter opens it. */
function useWalk(count: number, show: (place: number) => void) {
  const list = useRef<HTMLUListElement>(null);
  const [at, setAt] = useState(-1);
  const step = (by: number) => count && setAt((before) => Math.min(count - 1, Math.max(0, before + by)));
  useKeys({ j: () => step(1), k: () => step(-1) });
  useEffect(() => {
    if (at < 0) return;
    show(at);
    const frame = requestAnimationFrame(() =>
      list.current?.querySelector<HTMLElement>(`[data-index="${at}"] a`)?.focus(),
    );
    return () => cancelAnimationFrame(frame);
  }, [at, show]);
  return list;
}

const stay = () => undefined;

function AllRows({ rows }: { rows: readonly Loop[] }) {
  const list = useWalk(rows.length, stay);
  return (
    <ul aria-label="Loops" className="loops-rows" ref={list}>
      {rows.map((loop, place) => (
        <li key={`${loop.repo} ${loop.id}`} data-index={place}>
          <FleetRow loop={loop} />
        </li>
      ))}
    </ul>
  );
}

function SomeRows({ rows }: { rows: readonly Loop[] }) {
  const [margin, setMargin] = useState(0);
  const seen = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
    scrollMargin: margin,
  });
  const [show] = useState(() => (place: number) => seen.scrollToIndex(place, { align: "auto" }));
  const list = useWalk(rows.length, show);
  useEffect(() => setMargin(list.current?.offsetTop ?? 0), [list]);
  return (
    <ul
      aria-label="Loops"
      className="loops-rows"
      ref={list}
      style={{ height: seen.getTotalSize(), position: "relative" }}
    >
      {seen.getVirtualItems().map((item) => {
        const loop = rows[item.index];
        return loop === undefined ? null : (
          <li
            key={`${loop.repo} ${loop.id}`}
            ref={seen.measureElement}
            data-index={item.index}
            aria-setsize={rows.length}
            aria-posinset={item.index + 1}
            className="loops-floating"
            style={{ transform: `translateY(${item.start - margin}px)` }}
          >
            <FleetRow loop={loop} />
          </li>
        );
      })}
    </ul>
  );
}

/** Some hundred rows are all drawn; of more only those that can be seen. */
export function FleetRows({ rows }: { rows: readonly Loop[] }) {
  if (rows.length === 0) return null;
  return (
    <div>
      <div className="loops-heads" aria-hidden="true">
        {HEADS.map((head) => (
          <span key={head}>{head}</span>
        ))}
      </div>
      {rows.length > SMOOTH_UP_TO ? <SomeRows rows={rows} /> : <AllRows rows={rows} />}
    </div>
  );
}
