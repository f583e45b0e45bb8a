import { Link } from "wouter";
import { Copy } from "../../parts/Copy";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { counted } from "../../parts/words";
import type { FleetNode, Me } from "../../types";
import { useConfigs, useHeldBy, useLeaders } from "../../useOpsService";
import { NodeVerbs } from "./NodeVerbs";

const SAYS: Readonly<Record<FleetNode["status"], string>> = {
  active: "It lives, and takes work.",
  draining: "It takes nothing new, and finishes what it holds.",
  drained: "It takes nothing new, and holds nothing any more.",
  quarantined: "It is not trusted: it takes nothing, and gives back what it has.",
  behind: "It does not follow the newest configuration yet, and takes nothing until it does.",
  stopped: "Its last process ended in good order. It comes back when a worker or server starts there.",
  lost: "It was given up: it gave no sign of life. Its runs are taken over by their leases, wherever there is a worker.",
};

function Standing({ node }: { node: FleetNode }) {
  const set = node.state !== "active";
  const bad = node.status === "lost" || node.status === "quarantined";
  return (
    <section className="banner nodes-standing" data-tone={bad ? "bad" : node.status} aria-label="How it is">
      <p>
        <strong>{SAYS[node.status] ?? node.status}</strong>
      </p>
      {set ? (
        <p>
          {node.changed_by ?? "somebody"}, <RelativeTime at={node.since} />: {visible(node.reason ?? "no reason given")}
        </p>
      ) : null}
      {node.notice ? <p>It says: {visible(node.notice)}</p> : null}
    </section>
  );
}

function Labels({ of: names, none }: { of: readonly string[]; none: string }) {
  if (names.length === 0) return <span className="small">{none}</span>;
  return (
    <ul className="plain nodes-labels">
      {names.map((name) => (
        <li key={name}>
          <code>{visible(name)}</code>
        </li>
      ))}
    </ul>
  );
}

function useFacts(node: FleetNode): Fact[] {
  const newest = useConfigs().data?.[0]?.version ?? 0;
  const follows = node.config_version === 0 ? "its own" : `version ${node.config_version}`;
  return [
    ["machine", visible(node.host)],
    ["heard", <RelativeTime key="h" at={node.heartbeat_at} />],
    ...(node.stopped_at ? [["stopped", <RelativeTime key="e" at={node.stopped_at} />] as const] : []),
    ...(node.lost_at ? [["given up", <RelativeTime key="l" at={node.lost_at} />] as const] : []),
    ["Interlock", node.version],
    ["configuration", node.config_version < newest ? `${follows}; the newest is ${newest}` : follows],
    ["labels", <Labels key="n" of={node.labels} none="none; [node] in its settings gives them" />],
    ["capabilities", <Labels key="c" of={node.capabilities} none="none was found" />],
    ["at the same time", `${counted(node.concurrency, "run")} a worker`],
    ["joined", <RelativeTime key="j" at={node.joined_at} />],
  ];
}

/** What its workers hold, and since when. */
function Holds({ node }: { node: FleetNode }) {
  const items = useHeldBy(node.id);
  if (items.error && !items.data) return <Failure of={items.error} again={() => void items.refetch()} />;
  if (!items.data) return <p className="waiting">…</p>;
  if (items.data.length === 0) return <p className="hint">Nothing.</p>;
  return (
    <ul className="plain nodes-held" aria-label="What it holds">
      {items.data.map((item) => (
        <li key={item.id}>
          <Link href={item.run_id ? `/runs/${item.run_id}` : `/queue/${encodeURIComponent(item.id)}`}>{item.id}</Link>
          <span>{visible(item.task.slice(0, 120))}</span>
          <span className="small">
            <RelativeTime at={item.started_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** The loops that only one process of all nodes does, as far as this machine does them. */
function Leads({ node }: { node: FleetNode }) {
  const leaders = useLeaders();
  const own = (leaders.data ?? []).filter((each) => each.status === "leading" && each.host === node.host);
  if (own.length === 0) return null;
  return (
    <Section title="Led on its machine">
      <Labels of={own.map((each) => each.id)} none="" />
    </Section>
  );
}

interface Props {
  node: FleetNode;
  me: Me;
  isForgotten: boolean;
  onForgotten: () => void;
}

/** One node: how it is and why, what it can, what it holds, and what may be done with it. */
export function NodeDetail({ node, me, isForgotten, onForgotten }: Props) {
  const facts = useFacts(node);
  return (
    <article aria-label="Node" className="detail">
      <header className="detail-head">
        <StateBadge state={isForgotten ? "forgotten" : node.status} />
        <h2>{visible(node.name)}</h2>
        <span className="small">
          <code>{node.id}</code> <Copy text={node.id} what="the id" />
        </span>
      </header>
      {isForgotten ? (
        <p className="banner" role="status">
          It is forgotten, and listed no more. If it comes back, it joins anew.
        </p>
      ) : (
        <Standing node={node} />
      )}
      <Facts of={facts} />
      <Section title="Holds">
        <Holds node={node} />
      </Section>
      <Leads node={node} />
      {isForgotten ? null : <NodeVerbs node={node} me={me} onForgotten={onForgotten} />}
    </article>
  );
}
