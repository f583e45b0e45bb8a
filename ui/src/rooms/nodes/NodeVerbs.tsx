import { useState } from "react";
import { useRenewal } from "../../parts/useRenewal";
import { Verb } from "../../parts/Verb";
import { counted, shellWords } from "../../parts/words";
import type { FleetNode, Me } from "../../types";
import { useDrainNode, useForgetNode, useQuarantineNode, useResumeNode } from "../../useOpsService";

interface Props {
  node: FleetNode;
  me: Me;
  onForgotten: () => void;
}
interface One {
  verb: string;
  about: string;
  tone?: "good" | "bad";
  asks: true | "optional";
  act: { isPending: boolean; error: unknown };
  onDo: (reason: string) => void;
}

/** Whether only a person may let it go on. */
function isShutByAHuman(node: FleetNode): boolean {
  return node.state === "quarantined" && (node.changed_by ?? "").startsWith("human:");
}

/** What may be done with the node as it stands; what the server would refuse is not offered. */
function useVerbs({ node, me, onForgotten }: Props, close: () => void): One[] {
  const renew = useRenewal("/ops/nodes");
  const drain = useDrainNode();
  const quarantine = useQuarantineNode();
  const resume = useResumeNode();
  const forget = useForgetNode();
  const params = { path: { node_id: node.id } };
  const done = {
    onSuccess: () => {
      close();
      renew();
    },
  };
  const holds = node.held === 0 ? "It holds nothing now." : `It holds ${counted(node.held, "item")} now.`;
  const isGone = node.stopped_at !== null || node.lost_at !== null;
  const all: (One | false)[] = [
    node.state === "active" && {
      verb: "Drain",
      about: `It takes nothing new, and finishes what it holds. ${holds}`,
      asks: true,
      act: drain,
      onDo: (reason) => drain.mutate({ params, body: { reason } }, done),
    },
    node.state !== "quarantined" && {
      verb: "Quarantine",
      tone: "bad",
      about: `It is trusted no more: it takes nothing, and gives back what it holds at its next heartbeat. ${holds}`,
      asks: true,
      act: quarantine,
      onDo: (reason) => quarantine.mutate({ params, body: { reason } }, done),
    },
    node.state !== "active" &&
      (me.kind === "human" || !isShutByAHuman(node)) && {
        verb: "Resume",
        tone: "good",
        about: "It takes work again.",
        asks: "optional",
        act: resume,
        onDo: (reason) => resume.mutate({ params, body: { reason } }, done),
      },
    isGone &&
      node.state !== "quarantined" && {
        verb: "Forget",
        about: "It is listed no more. If it comes back, it joins anew, and takes work.",
        asks: "optional",
        act: forget,
        onDo: (reason) =>
          forget.mutate(
            { params, body: { reason } },
            {
              onSuccess: () => {
                onForgotten();
                done.onSuccess();
              },
            },
          ),
      },
  ];
  return all.filter((each) => each !== false);
}

/** Drain, quarantine, resume, forget: for a human or a service with the role operator. */
export function NodeVerbs(props: Props) {
  const [open, setOpen] = useState<string>();
  const verbs = useVerbs(props, () => setOpen(undefined));
  const { node, me } = props;
  if (me.role === "actions") return null;
  if (me.kind === "agent") {
    return <p className="hint">Only a human or a service takes a node out of work; you are {me.id}.</p>;
  }
  const shut = me.kind !== "human" && isShutByAHuman(node);
  return (
    <footer className="actions">
      {shut ? <p className="hint">{node.changed_by} has put it into quarantine: only a human lets it out.</p> : null}
      {verbs
        .filter((each) => open === undefined || each.verb === open)
        .map((each) => (
          <Verb
            key={each.verb}
            verb={each.verb}
            tone={each.tone}
            asksReason={each.asks}
            about={each.about}
            command={(reason) =>
              shellWords([
                ...["interlock", "node", each.verb.toLowerCase(), node.id],
                ...(reason || each.asks === true ? ["--reason", reason] : []),
              ])
            }
            open={open === each.verb}
            onOpen={(on) => setOpen(on ? each.verb : undefined)}
            busy={each.act.isPending}
            failure={open === each.verb ? each.act.error : undefined}
            onDo={each.onDo}
          />
        ))}
    </footer>
  );
}
