import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useId, useRef, useState } from "react";
import { Failure } from "../../parts/Failure";
import { number } from "../../parts/words";
import type { PipelineLine, PipelineRunInFull } from "../../types";
import { useLog } from "./useLog";

const LINE_HEIGHT = 20;

function Lines({ lines, follow }: { lines: readonly PipelineLine[]; follow: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const seen = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_HEIGHT,
    overscan: 20,
  });
  useEffect(() => {
    if (follow && lines.length) seen.scrollToIndex(lines.length - 1, { align: "end" });
  }, [follow, lines.length, seen]);
  return (
    <div className="log pipelines-log" ref={box} tabIndex={0} role="group" aria-label="Log lines">
      <ol style={{ height: seen.getTotalSize() }}>
        {seen.getVirtualItems().map((item) => {
          const line = lines[item.index];
          return line === undefined ? null : (
            <li
              key={line.line}
              ref={seen.measureElement}
              data-index={item.index}
              data-source={line.stream}
              data-level={line.stream === "stderr" ? "WARNING" : undefined}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <span className="number">{line.line}</span>
              <time dateTime={line.ts} title={`${line.ts} ${line.job}`}>
                {line.ts.slice(11, 19)}
              </time>
              <span>{line.msg}</span>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

/** What the jobs said; only the lines that can be seen are drawn. */
export function PipelineLog({ run, changed }: { run: PipelineRunInFull; changed: number }) {
  const [job, setJob] = useState("");
  const [follow, setFollow] = useState(run.status === "Running");
  const one = useId();
  return (
    <>
      <div className="buttons pipelines-logbar">
        <label htmlFor={`${one}j`}>Job</label>
        <select
          id={`${one}j`}
          className="pipelines-select"
          value={job}
          onChange={(event) => setJob(event.target.value)}
        >
          <option value="">all</option>
          {run.jobs.map((each) => (
            <option key={each.id} value={each.id}>
              {each.id}
            </option>
          ))}
        </select>
        <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)}>
          Follow
        </button>
      </div>
      <Shown key={job} id={run.id} job={job || undefined} follow={follow} changed={changed} />
    </>
  );
}

function Shown({
  id,
  job,
  follow,
  changed,
}: {
  id: string;
  job: string | undefined;
  follow: boolean;
  changed: number;
}) {
  const { lines, failure, whole, more } = useLog(id, job, changed);
  return (
    <>
      {lines.length ? <Lines lines={lines} follow={follow} /> : null}
      {lines.length === 0 && whole ? <p className="hint">It has said nothing yet.</p> : null}
      {failure ? <Failure of={failure} /> : null}
      <div className="buttons">
        <button type="button" onClick={() => void more()}>
          Look for more lines
        </button>
        {whole && lines.length ? <span className="hint">These are all {number(lines.length)} so far.</span> : null}
      </div>
    </>
  );
}
