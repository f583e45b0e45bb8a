import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { shellWords, size } from "../../parts/words";
import type { RunInFull } from "../../types";
import { Counts, Diff } from "./Diff";

const SHOWN_BYTES = 8 * 2 ** 20;
const OPEN_BYTES = 256 * 2 ** 10;

/** A patch never changes: it is named by its digest, and no event has it fetched again. */
function Patch({ runId, digest }: { runId: string; digest: string }) {
  const diff = useQuery({
    queryKey: ["diff of a run", runId, digest],
    queryFn: async ({ signal }) => {
      const params = { path: { run_id: runId } };
      const { data, error } = await client.GET("/ops/runs/{run_id}/diff", { params, signal, parseAs: "text" });
      if (error) throw error;
      return data ?? "";
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (diff.error) return <Failure of={diff.error} again={() => void diff.refetch()} />;
  if (diff.data === undefined) return <p className="waiting">…</p>;
  return <Diff patch={diff.data} />;
}

function LeftOut({ files }: { files: readonly { path: string; reason: string }[] }) {
  if (!files.length) return null;
  return (
    <details className="runs-leftout">
      <summary>{files.length} left out</summary>
      <ul className="plain">
        {files.map((file) => (
          <li key={file.path}>
            <code>{visible(file.path)}</code> <span className="small">{file.reason}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** What a run changed: its diff in the page, as a file, and how it is brought to the repository. */
export function Changes({ run }: { run: RunInFull }) {
  const patch = run.result?.patch;
  const bytes = patch?.bytes ?? 0;
  const [wanted, setWanted] = useState(false);
  const files = run.result?.files ?? [];
  if (!run.result) return null;
  const sum = (pick: "added" | "deleted") => files.reduce((before, file) => before + (file[pick] ?? 0), 0);
  return (
    <Section title="Changes">
      {patch ? (
        <div className="runs-changes">
          <p className="buttons">
            <Counts added={sum("added")} deleted={sum("deleted")} />
            <span className="small">{size(bytes)}</span>
            <a href={`/ops/runs/${run.id}/diff`} download={`${run.id}.diff`}>
              Download the diff
            </a>
            {bytes > OPEN_BYTES && bytes <= SHOWN_BYTES && !wanted ? (
              <button type="button" onClick={() => setWanted(true)}>
                Show the diff
              </button>
            ) : null}
          </p>
          {bytes > SHOWN_BYTES ? <p className="hint">It is too large to be shown here.</p> : null}
          {bytes <= OPEN_BYTES || wanted ? <Patch runId={run.id} digest={patch.digest} /> : null}
          {run.status === "done" ? <Command line={shellWords(["interlock", "run", "apply", run.id])} /> : null}
        </div>
      ) : (
        <p className="hint">It changed no file.</p>
      )}
      <LeftOut files={run.result.left_out ?? []} />
    </Section>
  );
}
