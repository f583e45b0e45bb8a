import type { RowSelectionState } from "@tanstack/react-table";
import { useMemo, useState } from "react";
import { Link, useSearch } from "wouter";
import { Empty } from "../../parts/Facts";
import { counted } from "../../parts/words";
import type { Me } from "../../types";
import { addressOf, isNarrow, type Which, whichOf } from "./address";
import { useCount, useQueueStatus } from "./asked";
import { BulkBar } from "./BulkBar";
import { chosenColumns } from "./columns";
import { ItemsTable } from "./ItemsTable";
import { QueueFilters } from "./QueueFilters";
import { useNarrow } from "./useNarrow";

function Nothing({ which }: { which: Which }) {
  const search = useSearch();
  return isNarrow(which) ? (
    <Empty title="No item matches">
      <Link href={addressOf(search, { status: undefined, priority: undefined, owner: undefined, text: undefined })}>
        Show all items
      </Link>
    </Empty>
  ) : (
    <Empty title="The queue is empty">
      Put work on it: <code>interlock queue add --task "…" --criteria "…"</code>. Whoever works takes it with{" "}
      <code>interlock queue claim</code>; a run of an approved draft comes here by itself.
    </Empty>
  );
}

interface Props {
  which: Which;
  id: string | undefined;
  me: Me;
  columns: readonly string[];
  onBulk: (id: string) => void;
}

/** What is chosen belongs to one filter: with another one it is forgotten, so that nothing is moved unseen. */
function Chosen({ which, id, me, columns, onBulk }: Props) {
  const search = useSearch();
  const count = useCount(which);
  const [selection, setSelection] = useState<RowSelectionState>({});
  const [all, setAll] = useState(false);
  const may = me.role !== "actions";
  const ids = useMemo(() => Object.keys(selection).filter((each) => selection[each]), [selection]);
  const total = count.data;
  return (
    <>
      <div className="queue-line">
        <p className="queue-total" aria-live="polite">
          {total === undefined ? "…" : counted(total, "item")}, in the queue's order
        </p>
        {may ? (
          <BulkBar
            which={which}
            ids={ids}
            all={all}
            total={total}
            onAll={setAll}
            onClear={() => {
              setSelection({});
              setAll(false);
            }}
            onRun={onBulk}
          />
        ) : null}
      </div>
      <ItemsTable
        which={which}
        columns={columns}
        total={total}
        current={id}
        hrefOf={(item) => addressOf(search, {}, item)}
        selection={may ? selection : undefined}
        onSelection={(change) => {
          setAll(false);
          setSelection(change);
        }}
        empty={<Nothing which={which} />}
      />
    </>
  );
}

/** The table, what narrows it, and what can be done with many. */
export function ItemsPane({ id, me, onBulk }: { id: string | undefined; me: Me; onBulk: (id: string) => void }) {
  const search = useSearch();
  const narrow = useNarrow();
  const standing = useQueueStatus();
  const which = useMemo(() => whichOf(search), [search]);
  const columns = useMemo(() => chosenColumns(search, narrow), [search, narrow]);
  return (
    <>
      <QueueFilters which={which} standing={standing.data} narrow={narrow} />
      <Chosen key={JSON.stringify(which)} which={which} id={id} me={me} columns={columns} onBulk={onBulk} />
    </>
  );
}
