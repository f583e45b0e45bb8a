import { useState } from "react";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { RelativeTime } from "../../parts/RelativeTime";
import type { ViewProps } from "../../parts/ViewProps";
import type { ProviderHealth } from "../../types";
import { useProviderHealth } from "../../useOpsService";
import { HowToAdd } from "./HowToAdd";
import { Provider } from "./Provider";
import { useProviders } from "./useProviders";
import "./providers.css";

type Seen = NonNullable<ReturnType<typeof useProviders>["data"]>;

/** What was read does not change while it is read: a switch names the version that was shown. */
function useShown(fresh: Seen | undefined) {
  const [kept, keep] = useState<Seen>();
  const shown = kept ?? fresh;
  if (kept === undefined && fresh !== undefined) keep(fresh);
  const stale = shown !== undefined && fresh !== undefined && shown.version !== fresh.version;
  return { shown, stale, look: keep };
}

function Asked({ at, busy, onAsk }: { at: string | undefined; busy: boolean; onAsk: () => void }) {
  return (
    <p className="provider-asked">
      <span className="hint" role="status">
        {busy ? (
          "Asking every provider; it takes at most five seconds."
        ) : at ? (
          <>
            Asked <RelativeTime at={at} />
          </>
        ) : (
          "Not asked yet."
        )}
      </span>
      <button type="button" disabled={busy} onClick={onAsk}>
        Ask now
      </button>
    </p>
  );
}

/** Which model writes drafts: the active one, the others, and how they are. */
export default function ProviderView({ me }: ViewProps) {
  const reads = me.role === "admin";
  const providers = useProviders(reads);
  const health = useProviderHealth(me.role !== "actions");
  const { shown, stale, look } = useShown(providers.data);
  if (!reads) {
    return (
      <Empty title="Providers are for admins">
        Your role is {me.role}. <code>interlock provider show</code> lists them for a role admin.
      </Empty>
    );
  }
  const of = (name: string): ProviderHealth | undefined => health.data?.items.find((each) => each.id === name);
  const renew = async () => {
    await providers.refetch();
    await health.refetch();
  };
  return (
    <div className="page provider">
      <header className="provider-head">
        <h1>Provider</h1>
        <Asked at={health.data?.at} busy={health.isFetching} onAsk={() => void health.refetch()} />
      </header>
      {providers.error ? <Failure of={providers.error} again={() => void providers.refetch()} /> : null}
      {health.error ? <Failure of={health.error} again={() => void health.refetch()} /> : null}
      {stale ? (
        <p className="banner provider-stale" role="status">
          The providers have changed since you opened them.{" "}
          <button type="button" onClick={() => look(providers.data)}>
            Show them as they are now
          </button>
        </p>
      ) : null}
      {shown ? (
        <ul className="provider-list" aria-label="Providers">
          {Object.entries(shown.providers).map(([name, entry]) => (
            <Provider
              key={name}
              name={name}
              entry={entry}
              active={name === shown.active}
              version={shown.version}
              health={of(name)}
              me={me}
              onSwitched={async () => {
                const { data } = await providers.refetch();
                if (data) look(data);
              }}
              onStale={() => void renew()}
            />
          ))}
        </ul>
      ) : null}
      <HowToAdd />
    </div>
  );
}
