import { useState } from "react";
import { Digest } from "../../parts/Copy";
import { Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { asText } from "../../parts/words";
import type { DraftInFull, Me } from "../../types";
import { useDraft } from "../../useOpsService";
import "./approval.css";
import { Decision } from "./Decision";
import { Differences } from "./Differences";
import { EditDraft } from "./EditDraft";
import type { Fields } from "./form";
import { LongText, Plain } from "./Plain";
import { Versions } from "./Versions";
import { Warnings } from "./Warnings";
import { WhatRuns } from "./WhatRuns";

function differs(seen: DraftInFull, now: DraftInFull): boolean {
  return seen.version !== now.version || seen.digest !== now.digest || seen.status !== now.status;
}

/** A draft as it was when it was opened: it does not change under the eyes of who reads it. */
export function DraftDetail({ id, me }: { id: string; me: Me }) {
  const draft = useDraft(id);
  const [seen, setSeen] = useState<DraftInFull>();
  const [editing, setEditing] = useState(false);
  const [typed, setTyped] = useState<Fields>();
  if (seen === undefined && draft.data && !draft.isFetching) setSeen(draft.data);
  if (draft.error && !seen) return <Failure of={draft.error} again={() => void draft.refetch()} />;
  if (!seen) return <p className="waiting">…</p>;

  const now = draft.data ?? seen;
  const look = async () => {
    const { data } = await draft.refetch();
    if (data) setSeen(data);
    return data;
  };
  if (editing) {
    return (
      <EditDraft
        draft={seen}
        typed={typed}
        onTyped={setTyped}
        onLook={look}
        onBack={() => setEditing(false)}
        onDone={() => {
          setTyped(undefined);
          setEditing(false);
          void look();
        }}
      />
    );
  }
  return (
    <article aria-label="Draft" className="detail">
      {differs(seen, now) ? (
        <p className="banner" role="status">
          {seen.version === now.version && seen.digest === now.digest
            ? `It is ${now.status} now${now.decided_by ? `, by ${now.decided_by}` : ""}. `
            : "It has changed since you opened it; below is what you opened. "}
          <button type="button" onClick={() => void look()}>
            Show it as it is now
          </button>
        </p>
      ) : null}
      <DraftText draft={seen} />
      <Decision
        key={`${seen.version} ${seen.digest} ${seen.status}`}
        draft={seen}
        me={me}
        onDecided={() => void look()}
        onLook={() => void look()}
        onEdit={() => setEditing(true)}
      />
    </article>
  );
}

function DraftText({ draft }: { draft: DraftInFull }) {
  const hasContext = typeof draft.context === "string" || Object.keys(draft.context).length > 0;
  return (
    <>
      <header className="detail-head">
        <StateBadge state={draft.status} />
        <h2>{draft.id}</h2>
        <span className="small">
          version {draft.version} · {draft.author} · <RelativeTime at={draft.updated_at} />
        </span>
      </header>
      {draft.error ? <p className="banner">{draft.error}</p> : null}
      <Warnings draft={draft} />
      <Section title="Prompt">
        <LongText name="Prompt" text={draft.prompt} />
      </Section>
      {draft.content ? (
        <Section title="Content">
          <LongText name="Content" text={draft.content} />
        </Section>
      ) : null}
      {hasContext ? (
        <Section title="Context">
          <LongText name="Context" text={asText(draft.context)} />
        </Section>
      ) : null}
      <WhatRuns terms={draft.terms} />
      {draft.digest ? (
        <Section title="Digest of all of this">
          <Digest value={draft.digest} />
        </Section>
      ) : null}
      <Differences key={draft.version} draft={draft} />
      <Versions id={draft.id} />
      {draft.decided_by ? (
        <Section title="Decision">
          <Facts
            of={[
              ["by", draft.decided_by],
              ["reason", <Plain key="r" text={draft.decision_reason || "—"} />],
            ]}
          />
          {draft.status === "approved" ? (
            <p className="hint review-compared">
              It is <code>{draft.id.replace(/^d_/, "a_")}</code> on the screen Approved now, and nothing has been
              started.
            </p>
          ) : null}
        </Section>
      ) : null}
    </>
  );
}
