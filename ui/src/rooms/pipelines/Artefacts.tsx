import { Command } from "../../parts/Copy";
import { StateBadge } from "../../parts/StateBadge";
import { Table } from "../../parts/Table";
import { number, shellWords } from "../../parts/words";
import type { PipelineRunInFull } from "../../types";

/** What its jobs left, as it was when each had ended, and whether a secret was found in it. */
export function Artefacts({ run }: { run: PipelineRunInFull }) {
  const all = run.jobs.flatMap((job) => job.artefacts.map((artefact) => ({ job: job.id, artefact })));
  const first = all[0];
  if (first === undefined) return <p className="hint">No job has left one.</p>;
  return (
    <>
      <Table label="Artefacts" heads={["path", "job", "bytes", "secrets", "sha256"]}>
        {all.map(({ job, artefact }) => (
          <tr key={`${job} ${artefact.path}`}>
            <td>{artefact.path}</td>
            <td>{job}</td>
            <td>{number(artefact.size)}</td>
            <td>
              <Searched run={run} sha256={artefact.sha256} />
            </td>
            <td title={artefact.sha256}>
              <code>{artefact.sha256.slice(0, 12)}</code>
            </td>
          </tr>
        ))}
      </Table>
      <Command line={shellWords(["interlock", "pipeline", "artefact", "get", run.id, first.artefact.path])} />
    </>
  );
}

function Searched({ run, sha256 }: { run: PipelineRunInFull; sha256: string }) {
  const scan = run.security_scans.findLast((each) => each.metadata.sha256 === sha256);
  if (scan === undefined) return <>not searched</>;
  if (scan.status === "passed") return <>none found</>;
  return (
    <>
      <StateBadge state={scan.status} /> {scan.issues.join("; ") || scan.metadata.skipped_because}
    </>
  );
}
