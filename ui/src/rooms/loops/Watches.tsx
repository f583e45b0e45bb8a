import { useId, useState } from "react";
import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, Watch } from "../../types";
import { useUnwatchLoops, useWatches, useWatchLoops } from "../../useOpsService";

function Watched({ watch, me }: { watch: Watch; me: Me }) {
  const [open, setOpen] = useState(false);
  const unwatch = useUnwatchLoops();
  const renew = useRenewal("/ops/loops");
  return (
    <li className="loops-watch">
      <span>
        <code>{watch.repo}</code> · {watch.loop ?? "every loop"}{" "}
        <span className="small">
          {watch.added_by}, <RelativeTime at={watch.added_at} />
        </span>
      </span>
      {me.role === "admin" ? (
        <Verb
          verb="Unwatch"
          tone="bad"
          about="It is looked after no more; its files stay as they are."
          command={() => shellWords(["interlock", "loop", "unwatch", watch.id])}
          open={open}
          onOpen={setOpen}
          busy={unwatch.isPending}
          failure={unwatch.error}
          onDo={() => unwatch.mutate({ params: { path: { watch_id: watch.id } } }, { onSuccess: renew })}
        />
      ) : null}
    </li>
  );
}

function NewWatch() {
  const [repo, setRepo] = useState("");
  const [loop, setLoop] = useState("");
  const watch = useWatchLoops();
  const renew = useRenewal("/ops/loops");
  const one = useId();
  const which = loop.trim();
  return (
    <form
      className="confirm"
      aria-label="Watch"
      onSubmit={(event) => {
        event.preventDefault();
        watch.mutate(
          { body: { repo: repo.trim(), loop: which || null } },
          {
            onSuccess: () => {
              setRepo("");
              setLoop("");
              renew();
            },
          },
        );
      }}
    >
      <label htmlFor={`${one}r`}>Repository on the server</label>
      <input id={`${one}r`} value={repo} placeholder="/srv/code" onChange={(event) => setRepo(event.target.value)} />
      <label htmlFor={`${one}l`}>Loop</label>
      <input id={`${one}l`} value={loop} placeholder="every loop" onChange={(event) => setLoop(event.target.value)} />
      <Command
        line={shellWords([
          "interlock",
          "loop",
          "watch",
          "--repo",
          repo.trim() || "DIR",
          ...(which ? ["--loop", which] : []),
        ])}
      />
      {watch.error ? <Failure of={watch.error} /> : null}
      <div className="buttons">
        <button type="submit" className="verb" disabled={watch.isPending || !repo.trim()}>
          Watch
        </button>
      </div>
    </form>
  );
}

/** What the supervisor looks after. */
export function Watches({ me }: { me: Me }) {
  const found = useWatches();
  const watches = found.data ?? [];
  return (
    <Section title="What is looked after">
      {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
      <p className="hint">Our own runs are, and what is named here.</p>
      <ul className="plain" aria-label="Watches">
        {watches.map((watch) => (
          <Watched key={watch.id} watch={watch} me={me} />
        ))}
      </ul>
      {me.role === "admin" ? (
        <details className="loops-add">
          <summary>Watch another repository</summary>
          <NewWatch />
        </details>
      ) : null}
    </Section>
  );
}
