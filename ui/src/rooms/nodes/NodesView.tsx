import { useState } from "react";
import { Link } from "wouter";
import { Command } from "../../parts/Copy";
import { Empty } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { visible } from "../../parts/hidden";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import { counted } from "../../parts/words";
import type { FleetNode } from "../../types";
import { useConfigs, useNodes } from "../../useOpsService";
import { NodeDetail } from "./NodeDetail";
import "./nodes.css";

function rowOf(node: FleetNode) {
  const heard = node.stopped_at ?? node.heartbeat_at;
  return {
    id: node.id,
    href: `/nodes/${node.id}`,
    title: (
      <>
        <StateBadge state={node.status} /> {visible(node.name)}
      </>
    ),
    below: (
      <>
        {visible(node.host)} · {node.held ? `holds ${counted(node.held, "item")}` : "holds nothing"} ·{" "}
        {node.stopped_at ? "stopped" : "heard"} <RelativeTime at={heard} />
      </>
    ),
  };
}

/** Which configuration all of them follow. */
function Configuration() {
  const configs = useConfigs();
  if (configs.error) return <Failure of={configs.error} again={() => void configs.refetch()} />;
  const newest = configs.data?.[0];
  if (!configs.data) return null;
  if (!newest) return <p className="small">No configuration is published: each follows its own.</p>;
  return (
    <p className="small">
      Configuration {newest.version}, published by {newest.by} <RelativeTime at={newest.at} />
      {newest.reason ? `: ${visible(newest.reason)}` : ""}
    </p>
  );
}

/** The machines that carry the work out: how each is, what it can, and what it holds. */
export default function NodesView({ id, me }: ViewProps) {
  const nodes = useNodes();
  const [forgotten, setForgotten] = useState<FleetNode>();
  const shown = nodes.data?.find((each) => each.id === id) ?? (forgotten?.id === id ? forgotten : undefined);
  const isGone = nodes.data !== undefined && id !== undefined && shown === undefined;
  return (
    <ListAndDetail
      label="Nodes"
      rows={(nodes.data ?? []).map(rowOf)}
      selected={id}
      back="/nodes"
      head={
        <>
          <h1>Nodes</h1>
          <Configuration />
          {nodes.error ? <Failure of={nodes.error} again={() => void nodes.refetch()} /> : null}
        </>
      }
      empty={
        nodes.isPending ? (
          <p className="waiting">…</p>
        ) : nodes.error ? null : (
          <Empty title="No node has joined yet">A node joins when a worker or a server starts on its machine.</Empty>
        )
      }
    >
      {id === undefined ? (
        <div className="nodes-how">
          <p className="hint keys">
            <kbd>j</kbd> <kbd>k</kbd> walk through the list.
          </p>
          <p className="hint">Another machine joins with a key of its own, and takes work up with a worker:</p>
          <Command line="interlock init . --join" />
          <Command line="interlock worker" />
        </div>
      ) : null}
      {shown ? (
        <NodeDetail
          key={shown.id}
          node={shown}
          me={me}
          isForgotten={forgotten?.id === shown.id}
          onForgotten={() => setForgotten(shown)}
        />
      ) : null}
      {isGone ? (
        <Empty title="There is no such node">
          It was forgotten, or has never joined. <Link href="/nodes">All nodes</Link>
        </Empty>
      ) : null}
    </ListAndDetail>
  );
}
