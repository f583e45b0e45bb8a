import type { ReactNode } from "react";
import { Command } from "../../parts/Copy";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { number } from "../../parts/words";
import type { ServerStatus } from "../../types";

const TASKS: Readonly<Record<string, string>> = {
  worker: "carries out runs",
  supervisor: "reconciles loops",
  alerter: "tells people",
  carrier: "carries out pipelines",
};

interface TileProps {
  title: string;
  state: string;
  tone: "good" | "bad" | "waits" | "still";
  children: ReactNode;
}

function Tile({ title, state, tone, children }: TileProps) {
  return (
    <section className="maintenance-tile" data-tone={tone} aria-label={title}>
      <h2>{title}</h2>
      <p className="maintenance-state">{state}</p>
      <div className="small">{children}</div>
    </section>
  );
}

function lasted(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} days`;
}

function Queue({ queue, paused }: { queue: ServerStatus["queue"]; paused: boolean | null }) {
  const count = (name: string) => queue?.[name] ?? 0;
  return (
    <Tile
      title="Queue"
      state={queue === null ? "Not known" : paused ? "Paused" : "Open"}
      tone={queue === null ? "still" : paused ? "waits" : "good"}
    >
      {queue === null ? (
        "The database does not answer."
      ) : (
        <>
          {count("PENDING")} wait · {count("IN_PROGRESS")} under way · {count("FAILED")} failed
        </>
      )}
    </Tile>
  );
}

function Ledger({ of: ledger }: { of: ServerStatus["ledger"] }) {
  if (ledger === null) {
    return (
      <Tile title="Ledger" state="Not known" tone="still">
        The database does not answer.
      </Tile>
    );
  }
  const unsigned = ledger.entries - (ledger.head_size ?? 0);
  return (
    <>
      <Tile title="Ledger" state={`${number(ledger.entries)} entries`} tone={unsigned ? "still" : "good"}>
        {ledger.head_signed_at ? (
          <>
            head over {number(ledger.head_size)} signed <RelativeTime at={ledger.head_signed_at} />
            {unsigned ? `; ${unsigned} came since` : ""}
          </>
        ) : (
          "No head is signed yet."
        )}
      </Tile>
      <Tile
        title="Windows"
        state={ledger.behind ? `${ledger.behind} behind` : "Up to date"}
        tone={ledger.behind ? "waits" : "good"}
      >
        {number(ledger.exported)} entries are in the exported ledger and the files that follow it.
      </Tile>
    </>
  );
}

function Tasks({ of: tasks }: { of: ServerStatus["tasks"] }) {
  const dead = tasks.filter((task) => !task.alive);
  return (
    <section className="maintenance-beside" aria-label="Beside the server">
      <h2>Beside the server</h2>
      {tasks.length === 0 ? (
        <>
          <p className="hint">This server answers, and carries nothing out. A worker of its own does:</p>
          <Command line="interlock worker" />
        </>
      ) : (
        <ul className="plain">
          {tasks.map((task) => (
            <li key={task.name}>
              <StateBadge state={task.alive ? "running" : "error"} /> <strong>{task.name}</strong>{" "}
              <span className="small">{TASKS[task.name] ?? ""}</span>
            </li>
          ))}
        </ul>
      )}
      {dead.length ? <p className="hint">What has ended comes back when the server is started anew.</p> : null}
    </section>
  );
}

/** What is up, in tiles; what can not be known while the database is away says so. */
export function Tiles({ of: status, askedAt }: { of: ServerStatus; askedAt: number }) {
  const up = status.database === "ok";
  return (
    <>
      <div className="maintenance-tiles">
        <Tile title="Server" state={status.service_status.split(" ")[0] ?? ""} tone={up ? "good" : "bad"}>
          version {status.version} · up for {lasted(status.uptime_seconds)} · asked{" "}
          <RelativeTime at={new Date(askedAt).toISOString()} />
        </Tile>
        <Tile title="Database" state={up ? "Answers" : status.database} tone={up ? "good" : "bad"}>
          workspace <code>{status.workspace}</code>
        </Tile>
        <Queue queue={status.queue} paused={status.queue_paused} />
        <Ledger of={status.ledger} />
      </div>
      <Tasks of={status.tasks} />
    </>
  );
}
