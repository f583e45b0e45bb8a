import { type ReactNode, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { useKeys } from "./useKeys";

export interface Row {
  id: string;
  href: string;
  title: ReactNode;
  below: ReactNode;
}

interface Props {
  label: string;
  rows: readonly Row[];
  selected: string | undefined;
  head: ReactNode;
  back: string;
  empty: ReactNode;
  /** What stands below the rows, such as the way to older ones. */
  foot?: ReactNode;
  /** Somebody walks on from the last row. */
  onEnd?: () => void;
  children: ReactNode;
}

/** A list beside what is selected in it; on a phone one of the two. j and k walk. */
export function ListAndDetail({ label, rows, selected, head, back, empty, foot, onEnd, children }: Props) {
  const [, go] = useLocation();
  const list = useRef<HTMLUListElement>(null);
  const at = rows.findIndex((row) => row.id === selected);
  const step = (by: number) => {
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (by > 0 && at >= 0 && at === rows.length - 1) onEnd?.();
    if (next) go(next.href);
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  useEffect(() => {
    if (selected === undefined) return;
    list.current?.querySelector<HTMLElement>("[aria-current=true]")?.scrollIntoView?.({ block: "nearest" });
  }, [selected]);

  return (
    <div className="split" data-selected={selected !== undefined}>
      <div className="split-list">
        {head}
        {rows.length === 0 ? (
          empty
        ) : (
          <ul aria-label={label} className="rows" ref={list}>
            {rows.map((row) => (
              <li key={row.id}>
                <Link href={row.href} className="row" aria-current={row.id === selected}>
                  <span className="row-title">{row.title}</span>
                  <span className="row-below">{row.below}</span>
                </Link>
              </li>
            ))}
          </ul>
        )}
        {foot}
      </div>
      <div className="split-detail">
        {selected === undefined ? null : (
          <Link href={back} className="back">
            ← {label}
          </Link>
        )}
        {children}
      </div>
    </div>
  );
}
