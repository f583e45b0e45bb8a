import { Link, useSearch } from "wouter";
import { Command } from "../../parts/Copy";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import { useDeployments } from "../../useOpsService";
import { DeploymentDetail } from "./DeploymentDetail";
import { standing } from "./standing";
import "./pipelines.css";

const PAGE = 100;

function Nothing() {
  return (
    <>
      <Empty title="Nothing was deployed">
        A deployment brings the version that a run has made into an environment, step by step, and looks at its health.
        Definitions lie in <code>cicd/deployments/</code> of the workspace.
      </Empty>
      <Command line="interlock deployment create NAME --environment staging --version V --pipeline pipeline_…" />
    </>
  );
}

/** Versions on their way into environments, the newest first. */
export default function DeploymentsView({ id }: ViewProps) {
  const asked = new URLSearchParams(useSearch());
  const before = asked.get("before") ?? undefined;
  const name = asked.get("name") ?? undefined;
  const found = useDeployments({ before, name });
  const deployments = found.data ?? [];
  const where = asked.size ? `?${asked}` : "";
  const last = deployments.length === PAGE ? deployments.at(-1) : undefined;
  return (
    <ListAndDetail
      label="Deployments"
      rows={deployments.map((each) => ({
        id: each.id,
        href: `/deployments/${each.id}${where}`,
        title: (
          <>
            <StateBadge state={standing(each)} /> {each.name} {each.version}
          </>
        ),
        below: (
          <>
            {each.environment} · <RelativeTime at={each.created_at} /> by {each.created_by}
          </>
        ),
      }))}
      selected={id}
      back={`/deployments${where}`}
      head={
        <>
          <h1>Deployments</h1>
          {before || name ? <Link href="/deployments">← All, the newest first</Link> : null}
          {found.error ? <Failure of={found.error} again={() => void found.refetch()} /> : null}
        </>
      }
      foot={
        last ? (
          <Link href={`/deployments?${new URLSearchParams({ ...(name ? { name } : {}), before: last.id })}`}>
            Older ones →
          </Link>
        ) : null
      }
      empty={found.isPending ? <p className="waiting">…</p> : found.error ? null : <Nothing />}
    >
      {id === undefined ? (
        <p className="hint">
          A version stays only where it is healthy, and where a verifier signed for the run that made it.
        </p>
      ) : (
        <DeploymentDetail key={id} id={id} />
      )}
    </ListAndDetail>
  );
}
