import { type RowSelectionState, useTable } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type Dispatch, type ReactNode, type SetStateAction, useEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { useKeys } from "../../parts/useKeys";
import type { Item } from "../../types";
import type { Which } from "./address";
import { COLUMNS, columnNames, features, trackSizes } from "./columns";
import { useAnchor } from "./useAnchor";
import { useItems } from "./useItems";

declare module "react" {
  interface CSSProperties {
    "--queue-tracks"?: string;
  }
}
const ROW = 36;
const AHEAD = 60;

interface Props {
  which: Which;
  columns: readonly string[];
  total: number | undefined;
  current: string | undefined;
  hrefOf: (id: string) => string;
  /** Undefined where this caller may not move anything. */
  selection: RowSelectionState | undefined;
  onSelection: Dispatch<SetStateAction<RowSelectionState>>;
  empty: ReactNode;
}

/** The items of a filter in the queue's order; only the rows in sight are there. */
export function ItemsTable({ which, columns, total, current, hrefOf, selection, onSelection, empty }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ first: 0, last: 0 });
  const [, go] = useLocation();
  const items = useItems(which, sight.first, sight.last);
  const rows = useVirtualizer({
    count: items.known,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
    onChange: ({ range }) => {
      if (!range) return;
      const { startIndex: first, endIndex: last } = range;
      setSight((before) => (before.first === first && before.last === last ? before : { first, last }));
    },
  });
  const virtual = rows.getVirtualItems();
  const { more, load } = items;
  useEffect(() => {
    if (more && sight.last >= items.known - AHEAD) load();
  }, [more, load, sight.last, items.known]);
  const remember = useAnchor(scroller, items.at, ROW);

  const shown = virtual.flatMap(({ index }) => items.at(index) ?? []);
  const columnVisibility = useMemo(
    () => Object.fromEntries(columnNames.map(({ id }) => [id, columns.includes(id)])),
    [columns],
  );
  const table = useTable({
    features,
    columns: COLUMNS,
    data: shown,
    getRowId: (item: Item) => item.id,
    state: { columnVisibility, rowSelection: selection ?? {} },
    onRowSelectionChange: onSelection,
    enableRowSelection: selection !== undefined,
  });
  const models = new Map(table.getRowModel().rows.map((row) => [row.id, row]));

  const step = (by: number) => {
    let at = Math.max(0, sight.first - 1);
    for (let index = 0; index < items.known; index++) if (items.at(index)?.id === current) at = index;
    const next = current === undefined ? sight.first : Math.min(items.known - 1, Math.max(0, at + by));
    const item = items.at(next);
    if (!item) return;
    rows.scrollToIndex(next, { align: "auto" });
    go(hrefOf(item.id));
  };
  const pick = () => {
    if (current && selection) models.get(current)?.toggleSelected();
  };
  useKeys({ j: () => step(1), k: () => step(-1), x: pick });

  if (items.failure && items.known === 0) return <Failure of={items.failure} again={items.again} />;
  if (!items.isPending && items.known === 0) return <>{empty}</>;
  return (
    <div
      className="queue-scroller"
      ref={scroller}
      onScroll={remember}
      tabIndex={0}
      role="group"
      aria-label="Items, scrolling"
    >
      <div
        className="queue-table"
        role="table"
        aria-label="Items"
        aria-rowcount={(total ?? items.known) + 1}
        style={{ "--queue-tracks": trackSizes(columns) }}
      >
        <div role="rowgroup" className="queue-head">
          <div role="row" aria-rowindex={1} className="queue-row">
            <span role="columnheader">
              <span className="unseen">Selected</span>
            </span>
            {table.getVisibleLeafColumns().map((column) => (
              <span role="columnheader" key={column.id}>
                {String(column.columnDef.header)}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="queue-body" style={{ height: rows.getTotalSize() }} aria-busy={items.isPending}>
          {virtual.map(({ index, start }) => {
            const row = models.get(items.at(index)?.id ?? "");
            return (
              <div
                role="row"
                className="queue-row"
                key={row?.id ?? index}
                aria-rowindex={index + 2}
                data-current={row !== undefined && row.id === current}
                data-selected={row?.getIsSelected()}
                style={{ transform: `translateY(${start}px)` }}
              >
                <span role="cell" className="queue-pick">
                  {row && selection ? (
                    <input
                      type="checkbox"
                      aria-label={`Select ${row.id}`}
                      checked={row.getIsSelected()}
                      onChange={row.getToggleSelectedHandler()}
                    />
                  ) : null}
                </span>
                {row?.getVisibleCells().map((cell, place) => (
                  <span role="cell" key={cell.id} data-column={cell.column.id}>
                    {place === 0 ? (
                      <Link href={hrefOf(row.id)} className="queue-link">
                        <table.FlexRender cell={cell} />
                        <span className="unseen">
                          {row.id}: {visible(row.original.task)}
                        </span>
                      </Link>
                    ) : (
                      <table.FlexRender cell={cell} />
                    )}
                  </span>
                )) ?? <span role="cell">…</span>}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
