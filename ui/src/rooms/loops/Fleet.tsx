import { useState } from "react";
import { useSearch } from "wouter";
import { Command } from "../../parts/Copy";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import type { Loop, Me } from "../../types";
import { useLoops } from "../../useOpsService";
import { FleetRows } from "./FleetRows";
import { byTrouble, FILTERS, fits } from "./fleet";
import { Watches } from "./Watches";

function Nothing({ all, filter }: { all: readonly Loop[]; filter: string }) {
  if (all.length) return <Empty title={`No loop is ${filter === "all" ? "called so" : filter}`}>Others are.</Empty>;
  return (
    <div className="loops-none">
      <Empty title="No loop is looked after">
        Name a repository whose agent loops are to be supervised; its files are read, and nothing is written into them.
      </Empty>
      <Command line="interlock loop watch --repo DIR" />
    </div>
  );
}

/** The fleet: the worst first. */
export function Fleet({ me }: { me: Me }) {
  const filter = chosenOf(FILTERS, useSearch());
  const [text, setText] = useState("");
  const found = useLoops();
  const all = found.data ?? [];
  const rows = all.filter((loop) => fits(loop, filter, text)).sort(byTrouble);
  return (
    <div className="loops">
      <header className="loops-head">
        <h1>Loops</h1>
        <span className="small" role="status">
          {found.data ? `${rows.length} of ${all.length}` : ""}
        </span>
        <Filters label="Loops by health" base="/loops" words={FILTERS} chosen={filter} />
        <input
          className="loops-search"
          type="search"
          aria-label="Find a loop or a repository"
          placeholder="Find a loop or a repository"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </header>
      {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
      {found.isPending ? <p className="waiting">…</p> : null}
      {found.data && rows.length === 0 ? <Nothing all={all} filter={filter} /> : <FleetRows rows={rows} />}
      <Watches me={me} />
    </div>
  );
}
