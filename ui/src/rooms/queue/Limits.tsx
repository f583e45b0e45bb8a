import { useState } from "react";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { Verb } from "../../parts/Verb";
import { number, shellWords } from "../../parts/words";
import type { Me } from "../../types";
import { useSetLimit } from "../../useOpsService";
import { useLimits, useRenew } from "./asked";

function Change({ name, most }: { name: string; most: number }) {
  const [open, setOpen] = useState(false);
  const [wanted, setWanted] = useState(most);
  const set = useSetLimit();
  const renew = useRenew();
  const done = {
    onSuccess: () => {
      setOpen(false);
      renew();
    },
  };
  return (
    <Verb
      verb="Limit"
      about={
        <label>
          So many of its items may be under way at the same time:{" "}
          <input
            type="number"
            min={0}
            max={1_000_000}
            value={wanted}
            onChange={(event) => setWanted(Number(event.target.value))}
          />
        </label>
      }
      command={() => shellWords(["interlock", "queue", "limit", name, "--most", `${wanted}`])}
      open={open}
      onOpen={setOpen}
      busy={set.isPending}
      failure={set.error}
      onDo={() => set.mutate({ body: { key: name, most: wanted } }, done)}
    />
  );
}

/** The limits: how many of each key, repository, agent or node may be under way, how many are, how many wait. */
export function Limits({ me }: { me: Me }) {
  const limits = useLimits();
  if (limits.error) return <Failure of={limits.error} again={() => void limits.refetch()} />;
  if (!limits.data) return <p className="waiting">…</p>;
  if (limits.data.length === 0) {
    return (
      <Empty title="No concurrency key is known">
        Items that must not be under way together share a key:{" "}
        <code>interlock queue add --concurrency-key deploy …</code>
      </Empty>
    );
  }
  return (
    <ul className="plain queue-limits">
      {limits.data.map((each) => (
        <li key={each.key}>
          <h3>{each.key}</h3>
          <meter
            aria-label={`${each.key}: under way`}
            min={0}
            max={Math.max(1, each.most)}
            value={Math.min(each.held, each.most)}
          />
          <span>
            {each.held} of {each.most} under way{each.pending === null ? "" : `, ${number(each.pending)} wait`}
          </span>
          {me.role === "actions" ? null : <Change key={each.most} name={each.key} most={each.most} />}
        </li>
      ))}
    </ul>
  );
}
