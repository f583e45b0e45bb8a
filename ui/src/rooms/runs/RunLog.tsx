import { useState } from "react";
import { client } from "../../api/client";
import { Failure } from "../../parts/Failure";
import type { Line, RunInFull } from "../../types";

const PAGE = 1_000;

function LogLines({ lines }: { lines: readonly Line[] }) {
  return (
    <ol className="log" aria-label="Log lines" tabIndex={0}>
      {lines.map((line) => (
        <li key={line.line} data-level={line.level} data-source={line.source}>
          <span className="number">{line.line}</span>
          <time dateTime={line.ts} title={line.ts}>
            {line.ts.slice(11, 19)}
          </time>
          <span>{line.msg}</span>
        </li>
      ))}
    </ol>
  );
}

/** The lines that came with the run, and more where there are more. */
export function RunLog({ run }: { run: RunInFull }) {
  const [more, setMore] = useState<Line[]>([]);
  const [failure, setFailure] = useState<unknown>();
  const [ended, setEnded] = useState(false);
  const newest = run.log.at(-1)?.line ?? 0;
  const lines = [...run.log, ...more.filter((line) => line.line > newest)];

  async function fetchMore() {
    setFailure(undefined);
    try {
      const { data, error } = await client.GET("/ops/runs/{run_id}/log", {
        params: { path: { run_id: run.id }, query: { after: lines.at(-1)?.line ?? 0, limit: PAGE } },
      });
      if (error) setFailure(error);
      setMore((before) => [...before, ...(data ?? [])]);
      setEnded(data?.length === 0);
    } catch (unreached) {
      setFailure(unreached);
    }
  }

  return (
    <>
      {lines.length ? <LogLines lines={lines} /> : <p className="hint">It has said nothing yet.</p>}
      {failure ? <Failure of={failure} /> : null}
      <div className="buttons">
        <button type="button" onClick={() => void fetchMore()}>
          Look for more lines
        </button>
        {ended ? <span className="hint">These are all.</span> : null}
      </div>
    </>
  );
}
