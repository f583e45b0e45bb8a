import { useEffect, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { number } from "../../parts/words";
import type { QueueStanding } from "../../types";
import { addressOf, PRIORITIES, STATUSES, type Which } from "./address";
import { chosenColumns, columnNames } from "./columns";

interface Props {
  which: Which;
  standing: QueueStanding | undefined;
  narrow: boolean;
}

function Words({
  name,
  words,
  chosen,
  counts,
}: {
  name: "status" | "priority";
  words: readonly string[];
  chosen: string | undefined;
  counts?: Readonly<Record<string, number>> | undefined;
}) {
  const search = useSearch();
  return (
    <nav className="filters" aria-label={`Items by ${name}`}>
      {[undefined, ...words].map((word) => (
        <Link
          key={word ?? ""}
          href={addressOf(search, { [name]: word })}
          aria-current={word === chosen ? "page" : undefined}
        >
          {word ?? "all"}
          {word && counts ? (
            <>
              {" "}
              <span className="queue-number">{counts[word] === undefined ? null : number(counts[word])}</span>
            </>
          ) : null}
        </Link>
      ))}
    </nav>
  );
}

/** Text and owner go into the address when they are sent off: a filter is a link like the others. */
function Search({ which }: { which: Which }) {
  const search = useSearch();
  const [, go] = useLocation();
  const [text, setText] = useState(which.text ?? "");
  const [owner, setOwner] = useState(which.owner ?? "");
  useEffect(() => setText(which.text ?? ""), [which.text]);
  useEffect(() => setOwner(which.owner ?? ""), [which.owner]);
  return (
    <form
      className="queue-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        go(addressOf(search, { text: text.trim(), owner: owner.trim() }));
      }}
    >
      <input
        aria-label="Text"
        placeholder="Text in id, task, criteria or notes"
        maxLength={2000}
        value={text}
        onChange={(e) => setText(e.target.value)}
      />
      <input
        aria-label="Owner"
        placeholder="Owner"
        maxLength={128}
        value={owner}
        onChange={(e) => setOwner(e.target.value)}
      />
      <button type="submit">Filter</button>
      {which.text || which.owner ? (
        <Link href={addressOf(search, { text: undefined, owner: undefined })}>Clear</Link>
      ) : null}
    </form>
  );
}

function Columns({ narrow }: { narrow: boolean }) {
  const search = useSearch();
  const [, go] = useLocation();
  const chosen = chosenColumns(search, narrow);
  const toggled = (id: string) =>
    columnNames.map((each) => each.id).filter((each) => (each === id ? !chosen.includes(id) : chosen.includes(each)));
  return (
    <details className="queue-columns">
      <summary>Columns</summary>
      <fieldset>
        <legend className="unseen">Columns of the table</legend>
        {columnNames.map(({ id, name }) => (
          <label key={id}>
            <input
              type="checkbox"
              checked={chosen.includes(id)}
              onChange={() => go(addressOf(search, { columns: toggled(id).join(",") }), { replace: true })}
            />
            {name}
          </label>
        ))}
        <Link href={addressOf(search, { columns: undefined })}>As they were</Link>
      </fieldset>
    </details>
  );
}

/** What narrows the table; all of it stands in the address. */
export function QueueFilters({ which, standing, narrow }: Props) {
  const counts = standing && Object.fromEntries(STATUSES.map((status) => [status, standing[status]]));
  return (
    <div className="queue-filters">
      <Words name="status" words={STATUSES} chosen={which.status} counts={counts} />
      <Words name="priority" words={PRIORITIES} chosen={which.priority} />
      <Search which={which} />
      <Columns narrow={narrow} />
    </div>
  );
}
