import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import type { ViewProps } from "../../parts/ViewProps";
import { useServerStatus } from "../../useOpsService";
import { PanicSwitch } from "./PanicSwitch";
import { Tiles } from "./Tiles";
import "./maintenance.css";

/** How the server is, and the switch that freezes everything. */
export default function MaintenanceView({ id, me }: ViewProps) {
  const status = useServerStatus();
  if (id !== undefined) {
    return <Empty title="There is no such page">The tabs above lead to everything that there is.</Empty>;
  }
  return (
    <div className="page maintenance">
      <header className="maintenance-head">
        <h1>Status</h1>
        <button type="button" disabled={status.isFetching} onClick={() => void status.refetch()}>
          {status.isFetching ? "Asking…" : "Ask again"}
        </button>
      </header>
      {status.error ? <Failure of={status.error} again={() => void status.refetch()} /> : null}
      {status.data ? <Tiles of={status.data} askedAt={status.dataUpdatedAt} /> : null}
      <PanicSwitch me={me} />
    </div>
  );
}
