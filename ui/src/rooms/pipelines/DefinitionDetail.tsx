import { useState } from "react";
import { Link } from "wouter";
import { Block } from "../../parts/Block";
import { Digest } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { Table } from "../../parts/Table";
import { Verb } from "../../parts/Verb";
import { asText, shellWords, shortDigest } from "../../parts/words";
import type { DefinitionInFull, Me } from "../../types";
import { useAcceptPipeline, usePipeline } from "../../useOpsService";
import { Declared } from "./Declared";
import { RunPipeline } from "./RunPipeline";

/** A definition, everything that an acceptance covers, and the acceptance itself. */
export function DefinitionDetail({ name, me }: { name: string; me: Me }) {
  const found = usePipeline(name);
  const [seen, setSeen] = useState<DefinitionInFull>();
  if (seen === undefined && found.data && !found.isFetching) setSeen(found.data);
  if (found.error && !seen) return <Failure of={found.error} again={() => void found.refetch()} />;
  if (!seen) return <p className="waiting">…</p>;
  const look = async () => {
    const { data } = await found.refetch();
    if (data) setSeen(data);
  };
  return (
    <article aria-label="Definition" className="detail">
      <header className="detail-head">
        <StateBadge state={seen.status} />
        <h2>{seen.id}</h2>
      </header>
      {seen.changes.length ? <p className="banner">Not as it was accepted: {seen.changes.join(", ")}</p> : null}
      <Facts
        of={[
          ["accepted by", seen.accepted_by ?? "nobody"],
          ["accepted", <RelativeTime key="t" at={seen.accepted_at} />],
          ["digest", seen.digest ? <Digest key="d" value={seen.digest} /> : "—"],
        ]}
      />
      <Materials of={seen.materials} />
      <Declared of={seen.definition} />
      <Section title="Definition, whole">
        <details>
          <summary>every field, as an acceptance covers it</summary>
          <Block name="Definition" text={asText(seen.definition)} />
        </details>
      </Section>
      <p>
        <Link href={`/pipelines?name=${encodeURIComponent(seen.id)}`}>Its runs</Link>
      </p>
      <Acceptance definition={seen} me={me} onLook={() => void look()} />
      <RunPipeline definition={seen} me={me} />
    </article>
  );
}

function Materials({ of: materials }: { of: DefinitionInFull["materials"] }) {
  return (
    <Section title="Files and programs">
      <Table label="Files and programs" heads={["name", "kind", "path", "sha256"]}>
        {materials.map((each) => (
          <tr key={each.name}>
            <td>{each.name}</td>
            <td>{each.kind}</td>
            <td>{each.path || "not found"}</td>
            <td title={each.sha256 ?? undefined}>
              <code>{each.sha256?.slice(0, 12) ?? "—"}</code>
            </td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function Acceptance({ definition, me, onLook }: { definition: DefinitionInFull; me: Me; onLook: () => void }) {
  const [open, setOpen] = useState(false);
  const accept = useAcceptPipeline();
  const digest = definition.digest;
  if (definition.status === "accepted" || digest === null) return null;
  if (!me.may_decide || me.role !== "admin") {
    return <p className="hint">Only a human with the role admin accepts a definition; you are {me.id}.</p>;
  }
  return (
    <footer className="actions">
      <Verb
        verb="Accept"
        tone="good"
        about={
          <>
            You agree that it runs exactly as shown, <code>{shortDigest(digest)}</code>. Nothing is started by it.
          </>
        }
        command={() => shellWords(["interlock", "pipeline", "approve", definition.id, "--digest", digest])}
        open={open}
        onOpen={setOpen}
        busy={accept.isPending}
        failure={accept.error}
        onDo={() =>
          accept.mutate(
            { params: { path: { name: definition.id } }, body: { digest } },
            {
              onSuccess: () => {
                setOpen(false);
                onLook();
              },
            },
          )
        }
      />
      {accept.error ? (
        <button type="button" onClick={onLook}>
          Show it as it is now
        </button>
      ) : null}
    </footer>
  );
}
