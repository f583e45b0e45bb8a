import { useState } from "react";
import { Link } from "wouter";
import { client, isProblem } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, RunInFull } from "../../types";
import { useSignHead } from "../../useOpsService";

function save(name: string, content: unknown): void {
  const text = `${JSON.stringify(content, null, 2)}\n`;
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The log has to be signed up to the run's end; a worker does that by itself, and an operator may now. */
function SignHead({ onSigned }: { onSigned: () => void }) {
  const [open, setOpen] = useState(false);
  const sign = useSignHead();
  return (
    <Verb
      verb="Sign the head"
      about="The log is signed as it is now; then the receipt can be made."
      command={() => "interlock evidence head"}
      open={open}
      onOpen={setOpen}
      busy={sign.isPending}
      failure={sign.error}
      onDo={() => sign.mutate({}, { onSuccess: onSigned })}
    />
  );
}

/** A file that shows an outsider how the run ended, who approved it, and that the log says so. */
export function Receipt({ run, me }: { run: RunInFull; me: Me }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const file = `${run.id}.receipt.json`;
  async function download() {
    setBusy(true);
    setFailure(undefined);
    try {
      const { data, error } = await client.GET("/ops/runs/{run_id}/receipt", { params: { path: { run_id: run.id } } });
      if (data) save(file, data);
      else setFailure(error);
    } catch (unreached) {
      setFailure(unreached);
    }
    setBusy(false);
  }
  if (run.status === "pending" || run.status === "running") return null;
  const unsigned = isProblem(failure) && failure.code === "entry_not_covered";
  return (
    <Section title="Evidence">
      <div className="runs-receipt">
        <p className="hint">
          A receipt holds what the log says of this run and of its approval, with the signed statements and the proofs.
          Whoever has the log's public key can check it, without this server.
        </p>
        <div className="buttons">
          <button type="button" disabled={busy} onClick={() => void download()}>
            Download the receipt
          </button>
          <Link href={`/evidence?subject=${run.id}`}>What the log says of it</Link>
          {unsigned && me.role !== "actions" ? <SignHead onSigned={() => void download()} /> : null}
        </div>
        {failure ? <Failure of={failure} /> : null}
        <Command line={shellWords(["interlock", "run", "receipt", run.id, "--out", file])} />
        <Command line={shellWords(["interlock", "evidence", "check-receipt", file, "--key", "log.vkey"])} />
      </div>
    </Section>
  );
}
