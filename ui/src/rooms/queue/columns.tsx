import { columnVisibilityFeature, createColumnHelper, rowSelectionFeature, tableFeatures } from "@tanstack/react-table";
import type { ReactNode } from "react";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { Item } from "../../types";

export const features = tableFeatures({ columnVisibilityFeature, rowSelectionFeature });
const helper = createColumnHelper<typeof features, Item>();

function cell(id: string, header: string, show: (item: Item) => ReactNode) {
  return helper.display({ id, header, cell: ({ row }) => show(row.original) });
}
function text(value: string | null | undefined): ReactNode {
  if (!value || value === "-") return "—";
  const shown = visible(value);
  return <span title={shown}>{shown}</span>;
}

/** Every column that there is, in the order in which they stand. */
export const COLUMNS = [
  cell("id", "ID", (item) => <code>{item.id}</code>),
  cell("status", "Status", (item) => <StateBadge state={item.status} />),
  cell("priority", "Priority", (item) => item.priority),
  cell("task", "Task", (item) => text(item.task)),
  cell("owner", "Owner", (item) => text(item.owner_session)),
  cell("started", "Held since", (item) => <RelativeTime at={item.started_at} />),
  cell("lease", "Lease until", (item) => <RelativeTime at={item.lease_until} />),
  cell("attempts", "Attempts", (item) => `${item.attempt_count}/${item.max_attempts}`),
  cell("created", "Added", (item) => <RelativeTime at={item.created_at} />),
  cell("due", "Due", (item) => text(item.due_at_kst)),
  cell("not_before", "Not before", (item) => <RelativeTime at={item.not_before} />),
  cell("key", "Concurrency key", (item) => text(item.concurrency_key)),
  cell("run", "Run", (item) => text(item.run_id)),
  cell("error", "Last error", (item) => text(item.last_error)),
  cell("notes", "Notes", (item) => text(item.notes)),
];

const WIDTHS: Readonly<Record<string, string>> = {
  id: "7.5rem",
  status: "7.8rem",
  priority: "4.2rem",
  task: "minmax(9rem, 3fr)",
  owner: "minmax(8rem, 1fr)",
  started: "6.5rem",
  lease: "6.5rem",
  attempts: "4.8rem",
  created: "6.5rem",
  due: "9.5rem",
  not_before: "6.5rem",
  key: "9rem",
  run: "9rem",
  error: "minmax(10rem, 2fr)",
  notes: "minmax(10rem, 2fr)",
};
const WIDE = ["id", "status", "priority", "task", "owner", "attempts", "created"];
const NARROW = ["status", "task"];
const KNOWN = Object.keys(WIDTHS);

/** The columns of an address, in the order of the table; without a word of it those that fit. */
export function chosenColumns(search: string, narrow: boolean): string[] {
  const asked = new URLSearchParams(search).get("columns")?.split(",") ?? [];
  const chosen = KNOWN.filter((id) => asked.includes(id));
  return chosen.length > 0 ? chosen : narrow ? NARROW : WIDE;
}

export function trackSizes(columns: readonly string[]): string {
  return ["2.2rem", ...columns.map((id) => WIDTHS[id] ?? "8rem")].join(" ");
}

export const columnNames = COLUMNS.map((column) => ({ id: String(column.id), name: String(column.header) }));
