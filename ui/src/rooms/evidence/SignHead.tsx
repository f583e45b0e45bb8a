import { useState } from "react";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { counted } from "../../parts/words";
import { useSignHead } from "../../useOpsService";

/** Fix the log as it is now by a signature. */
export function SignHead({ entries }: { entries: number | null | undefined }) {
  const [open, setOpen] = useState(false);
  const renew = useRenewal("/ops/evidence");
  const sign = useSignHead();
  const renewed = () => {
    setOpen(false);
    renew();
  };
  return (
    <Verb
      verb="Sign head"
      tone="good"
      about={
        <>
          Fixes the log as it is now{entries ? `, ${counted(entries, "entry", "entries")},` : ""} by a signature of the
          log's key. What a head covers can be proved, and not be rewritten unseen.
        </>
      }
      command={() => "interlock evidence head"}
      open={open}
      onOpen={setOpen}
      busy={sign.isPending}
      failure={sign.error}
      onDo={() => sign.mutate({}, { onSuccess: renewed })}
    />
  );
}
