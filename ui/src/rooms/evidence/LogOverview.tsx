import { useEffect, useState } from "react";
import { Block } from "../../parts/Block";
import { Command, Digest } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { number } from "../../parts/words";
import type { LogHead, Me } from "../../types";
import { useHead } from "../../useOpsService";
import { Refusal } from "./bytes";
import { Keys } from "./Keys";
import { SignHead } from "./SignHead";
import { Steps } from "./Steps";
import { TrustedKey } from "./TrustedKey";
import { grown, useTrusted } from "./trust";
import type { Step } from "./verifying";

/** Hold the shown head against the key and against what this page saw before. */
function useGrowth(head: LogHead | undefined): Step | undefined {
  const trusted = useTrusted();
  const [step, setStep] = useState<Step>();
  const note = head?.note;
  const keys = trusted || (head?.log_keys ?? []).join("\n");
  useEffect(() => {
    let current = true;
    setStep(undefined);
    if (note) {
      grown(note, keys.split("\n")).then(
        (found) => current && setStep(found),
        (failure: unknown) =>
          current &&
          setStep({ name: "Growth", state: failure instanceof Refusal ? "fails" : "undecided", said: String(failure) }),
      );
    }
    return () => {
      current = false;
    };
  }, [note, keys]);
  return step;
}

function cosignedBy(head: LogHead) {
  if (!head.cosigned?.length) return "no witness";
  return (
    <ul className="plain">
      {head.cosigned.map((each) => (
        <li key={`${each.name} ${each.keyid} ${each.time}`}>
          {each.name} ({each.keyid}) <RelativeTime at={each.time} />
          {each.counted ? "" : ", not a witness of the policy here"}
        </li>
      ))}
    </ul>
  );
}

function Head({ head, me }: { head: LogHead; me: Me }) {
  const growth = useGrowth(head);
  const waiting = (head.entries ?? 0) - head.size;
  return (
    <Section title="Signed head">
      {head.status === "unsigned" ? (
        <p className="banner">No head has been signed yet: nothing can be proved to an outsider.</p>
      ) : (
        <div className="evidence-head">
          <Facts
            of={[
              ["log", head.origin],
              ["covers", `${number(head.size)} entries; ${number(waiting)} came after it`],
              ["root", <Digest key="r" value={head.root ?? ""} />],
              ["signed", <RelativeTime key="t" at={head.time} />],
              ["cosigned by", cosignedBy(head)],
            ]}
          />
          {growth ? <Steps steps={[growth]} label="Check of the head" /> : null}
          <details>
            <summary>The signed note; keep it somewhere else, it catches a rewrite</summary>
            <Block name="The signed note" text={head.note ?? ""} />
          </details>
        </div>
      )}
      {me.role === "actions" || waiting === 0 ? null : <SignHead entries={head.entries} />}
    </Section>
  );
}

/** The log as a whole: its head, by which key, and how to verify all of it. */
export function LogOverview({ me }: { me: Me }) {
  const head = useHead();
  if (head.error && !head.data) return <Failure of={head.error} again={() => void head.refetch()} />;
  if (!head.data) return <p className="waiting">…</p>;
  return (
    <article aria-label="The log" className="detail evidence-detail">
      <h2>The log</h2>
      <Head head={head.data} me={me} />
      <Section title="By whose word">
        <TrustedKey />
      </Section>
      <Section title="Verify all of it">
        <p className="hint">
          One entry is verified here, in the browser. The whole log is a job for the command line, on any machine that
          has the exported files:
        </p>
        <Command line="interlock evidence verify" />
        <Command line="interlock evidence export ./evidence" />
        <Command line="interlock evidence verify --dir ./evidence --key log.vkey --since saved-head" />
      </Section>
      <Keys />
    </article>
  );
}
