import { useState } from "react";
import { statusOf } from "../../api/client";
import { Facts } from "../../parts/Facts";
import { Verb } from "../../parts/Verb";
import { shellWords } from "../../parts/words";
import type { Me, ProviderEntry, ProviderHealth } from "../../types";
import { useSwitchProvider } from "../../useOpsService";

const LIGHTS = { ok: "good", degraded: "waits", down: "bad" } as const;

/** How a provider is: the word says it, the colour only repeats it. */
function Light({ of: health }: { of: ProviderHealth | undefined }) {
  return (
    <span className="provider-light" data-tone={health ? LIGHTS[health.status] : "still"}>
      <span aria-hidden="true">●</span> {health?.status ?? "not asked"}
      {health?.latency_ms ? <span className="small"> {health.latency_ms} ms</span> : null}
    </span>
  );
}

function keyOf(key: string | null): string {
  if (key === null) return "none";
  return key === "***" ? "in the file, hidden" : `from the environment: ${key}`;
}

interface Props {
  name: string;
  entry: ProviderEntry;
  active: boolean;
  version: string | null;
  health: ProviderHealth | undefined;
  me: Me;
  onSwitched: () => void;
  onStale: () => void;
}

/** One provider, and the switch to it. */
export function Provider({ name, entry, active, version, health, me, onSwitched, onStale }: Props) {
  const [open, setOpen] = useState(false);
  const change = useSwitchProvider();
  const tag = version?.replaceAll('"', "") ?? "";
  return (
    <li className="provider-card" data-active={active}>
      <header className="provider-name">
        <h2>{name}</h2>
        {active ? <strong className="provider-active">active</strong> : null}
        <Light of={health} />
      </header>
      {health && health.status !== "ok" ? (
        <p className="provider-why" data-tone={LIGHTS[health.status]}>
          {health.detail} <code>{health.reason}</code>
        </p>
      ) : null}
      <Facts
        of={[
          ["protocol", entry.type],
          ["model", entry.model ?? "—"],
          ["address", entry.base_url ?? "the protocol's own home"],
          ["key", keyOf(entry.api_key)],
        ]}
      />
      {active || !me.may_decide ? null : (
        <Verb
          verb="Set active"
          about={
            <>Drafts that are generated from now on are written by {name}. What waits or was approved stays as it is.</>
          }
          command={() =>
            shellWords(["interlock", "provider", "set", "--active", name, ...(tag ? ["--version", tag] : [])])
          }
          open={open}
          onOpen={setOpen}
          busy={change.isPending}
          failure={change.error}
          onDo={() =>
            change.mutate(
              { params: { header: version ? { "if-match": version } : {} }, body: { active: name } },
              {
                onSuccess: () => {
                  setOpen(false);
                  onSwitched();
                },
                onError: (error) => {
                  if (statusOf(error) === 412) onStale();
                },
              },
            )
          }
        />
      )}
      {active || me.may_decide ? null : <p className="hint">Only a human switches; you are {me.id}.</p>}
    </li>
  );
}
