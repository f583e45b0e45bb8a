import { useState } from "react";
import { Empty, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, Silence } from "../../types";
import { useSilences, useUnsilence } from "../../useOpsService";
import { useRenewAlerts } from "./AlertVerbs";
import { NewSilence } from "./NewSilence";

function Held({ silence, me }: { silence: Silence; me: Me }) {
  const [open, setOpen] = useState(false);
  const unsilence = useUnsilence();
  const renew = useRenewAlerts();
  return (
    <li className="alerts-silence">
      <div>
        <p>
          <strong>{silence.category || "every category"}</strong> of <strong>{silence.source || "every source"}</strong>
          , ends <RelativeTime at={silence.until_at} />
        </p>
        <p className="note">{silence.reason}</p>
        <p className="small">
          {silence.by}, <RelativeTime at={silence.created_at} />
        </p>
      </div>
      {me.role === "actions" ? null : (
        <Verb
          verb="Unsilence"
          about="It ends now: what still stands is told of."
          command={() => shellWords(["interlock", "alert", "unsilence", silence.id])}
          open={open}
          onOpen={setOpen}
          busy={unsilence.isPending}
          failure={unsilence.error}
          onDo={() => unsilence.mutate({ params: { path: { silence_id: silence.id } } }, { onSuccess: renew })}
        />
      )}
    </li>
  );
}

/** What nobody is told of, until when, and why. */
export function Silences({ me }: { me: Me }) {
  const found = useSilences();
  return (
    <>
      {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
      {found.data?.length === 0 ? (
        <Empty title="Nothing is silenced">
          A silence keeps alerts from being told of for a time; they are opened all the same, and told of if they
          outlast it.
        </Empty>
      ) : null}
      <ul className="plain" aria-label="Silences">
        {(found.data ?? []).map((silence) => (
          <Held key={silence.id} silence={silence} me={me} />
        ))}
      </ul>
      {me.role === "actions" ? null : (
        <Section title="Silence something">
          <NewSilence />
        </Section>
      )}
    </>
  );
}
