import { useState } from "react";
import { client } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";
import { shellWords } from "../../parts/words";
import type { LogEntryInFull, Me } from "../../types";
import { useHead } from "../../useOpsService";
import { SignHead } from "./SignHead";
import { Steps } from "./Steps";
import { TrustedKey } from "./TrustedKey";
import { grown, useTrusted } from "./trust";
import { readProof, type Step, statementOf, verifyEntry, verifyEnvelope, verifyShown } from "./verifying";

/** Fetch the proof, and check it here by nothing but the bytes. */
async function checked(entry: LogEntryInFull, vkeys: readonly string[]): Promise<Step[]> {
  const { data, error } = await client.GET("/ops/evidence/entries/{index}/proof", {
    params: { path: { index: entry.index } },
  });
  if (!data) throw error;
  const { correlation_id, kind, payload, principal, subject, time } = entry;
  const steps = await verifyEntry(entry, data.proof, vkeys);
  steps.unshift(await verifyShown("Shown", entry.leaf, { correlation_id, kind, payload, principal, subject, time }));
  if (steps.every((step) => step.state === "holds")) steps.push(await grown(readProof(data.proof).note, vkeys));
  const statement = entry.statement;
  if (statement?.envelope && statement.key) {
    steps.push(...(await verifyEnvelope(statement.digest, statement.envelope, statement.key.vkey)));
    steps.push(await verifyShown("Statement shown", statementOf(statement.envelope), statement.statement ?? {}));
  }
  return steps;
}

function Verdict({ steps, own }: { steps: readonly Step[]; own: boolean }) {
  if (steps.some((step) => step.state === "fails")) {
    return (
      <p className="banner" data-tone="bad">
        This does not hold. Keep this page and its files, and tell whoever runs the log.
      </p>
    );
  }
  if (steps.some((step) => step.state === "undecided")) {
    return <p className="banner">This browser can not check all of it. The command below can.</p>;
  }
  return (
    <p className="evidence-verdict">
      The entry stands in the log as it is shown here
      {own ? ", by the key that you kept." : ", by the key that this server gives."}
    </p>
  );
}

/** Verify one entry in this browser, or take the proof along. */
export function VerifyHere({ entry, me }: { entry: LogEntryInFull; me: Me }) {
  const trusted = useTrusted();
  const head = useHead();
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState<{ steps: readonly Step[]; by: string }>();
  const [failure, setFailure] = useState<unknown>();
  const keys = trusted ? [trusted] : (head.data?.log_keys ?? []);
  const steps = done?.by === trusted ? done.steps : undefined; // what one key said does not stand for another

  async function verify() {
    setBusy(true);
    setFailure(undefined);
    setDone(undefined);
    try {
      setDone({ steps: await checked(entry, keys), by: trusted });
    } catch (refused) {
      setFailure(refused ?? true);
    }
    setBusy(false);
  }
  const files = `/ops/evidence/entries/${entry.index}`;
  const names = [`entry-${entry.index}.tlog-proof`, `entry-${entry.index}.jsonl`] as const;
  return (
    <div className="evidence-verify">
      {entry.covered ? null : (
        <>
          <p className="hint">No signed head covers this entry yet, so it can not be proved.</p>
          {me.role === "actions" ? null : <SignHead entries={head.data?.entries} />}
        </>
      )}
      <div className="buttons">
        {entry.covered ? (
          <>
            <button
              type="button"
              className="verb"
              data-tone="good"
              disabled={busy || !head.data}
              onClick={() => void verify()}
            >
              {busy ? "…" : "Verify here"}
            </button>
            <a href={`${files}/proof.txt`} download={names[0]}>
              Download the proof
            </a>
          </>
        ) : null}
        <a href={`${files}/line`} download={names[1]}>
          Download the entry
        </a>
      </div>
      <div aria-live="polite" className="evidence-result">
        {steps ? <Steps steps={steps} label="Steps of the check" /> : null}
        {steps ? <Verdict steps={steps} own={trusted !== ""} /> : null}
        {failure ? <Failure of={failure} /> : null}
      </div>
      <TrustedKey />
      <p className="small">Offline, with the two files and a log.vkey that you got another way:</p>
      <Command line={shellWords(["interlock", "evidence", "check", ...names, "--key", "log.vkey"])} />
    </div>
  );
}
