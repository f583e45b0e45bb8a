import { useState } from "react";
import { Empty, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { keyed } from "../../parts/keyed";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { Verb } from "../../parts/Verb";
import { plain, shellWords } from "../../parts/words";
import type { Sinks as AllSinks, Me, Sink } from "../../types";
import { useSinks, useTestSink } from "../../useOpsService";
import { useRenewAlerts } from "./AlertVerbs";

function Test({ sink }: { sink: Sink }) {
  const [open, setOpen] = useState(false);
  const test = useTestSink();
  const renew = useRenewAlerts();
  return (
    <>
      <Verb
        verb="Test"
        about={`${sink.id} is sent a message that says that it is a test.`}
        command={() => shellWords(["interlock", "alert", "test", sink.id])}
        open={open}
        onOpen={setOpen}
        busy={test.isPending}
        failure={test.error}
        onDo={() =>
          test.mutate(
            { params: { path: { sink_id: sink.id } } },
            {
              onSuccess: () => {
                setOpen(false);
                renew();
              },
            },
          )
        }
      />
      {test.data && !open ? (
        <p className="small" role="status">
          It took it{test.data.http_status === null ? "" : ` with HTTP ${test.data.http_status}`}.
        </p>
      ) : null}
    </>
  );
}

function OneSink({ sink, me }: { sink: Sink; me: Me }) {
  const missing = sink.variables.filter((each) => !each.present);
  return (
    <li className="alerts-sink" data-on={sink.enabled}>
      <h3 className="alerts-sink-name">
        {sink.id} <span className="small">{plain(sink.type)}</span> <StateBadge state={sink.enabled ? "on" : "off"} />
      </h3>
      <p>
        {sink.delivered} delivered, {sink.pending} waiting, {sink.skipped} skipped
        {sink.failures ? `; ${sink.failures} failed in a row` : ""}
      </p>
      {sink.paused_until ? (
        <p className="banner">
          It failed too often: the next try is <RelativeTime at={sink.paused_until} />
        </p>
      ) : null}
      <ul className="plain small" aria-label={`Variables of ${sink.id}`}>
        {sink.variables.map((each) => (
          <li key={each.name}>
            <code>{each.name}</code> {each.present ? "is set" : "is not set in the server's environment"}
          </li>
        ))}
      </ul>
      {sink.enabled && missing.length ? <p className="banner">It can not be sent to: a variable is not set.</p> : null}
      {me.role === "admin" ? <Test sink={sink} /> : null}
    </li>
  );
}

function Routes({ of: found }: { of: AllSinks }) {
  return (
    <Section title="Where alerts go">
      <p>
        Without a route of their own: to {found.default_sinks.join(", ") || "nobody"}, from{" "}
        <strong>{found.default_min_severity ?? "warning"}</strong> on.
      </p>
      <ul className="plain" aria-label="Routes">
        {keyed(found.routes).map(({ key, item: each }) => (
          <li key={key}>
            {plain(each.category)} → {each.sinks.join(", ") || "the default ones"}
            {each.min_severity ? `, from ${each.min_severity} on` : ""}
            {each.enabled ? "" : " (off)"}
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** Who is told of alerts: each sink, whether it can be sent to, and how it does. */
export function Sinks({ me }: { me: Me }) {
  const query = useSinks();
  const found = query.data;
  if (query.error && !found) return <Failure of={query.error} again={() => void query.refetch()} />;
  if (!found) return <p className="waiting">…</p>;
  return (
    <>
      {found.problem ? (
        <p className="banner" data-tone="bad">
          {found.problem} Nothing is sent until that is mended.
        </p>
      ) : null}
      {found.sinks.length === 0 && !found.problem ? (
        <Empty title="No sink is configured">Name one in the file below, and set its variables for the server.</Empty>
      ) : null}
      <ul className="alerts-sinks" aria-label="Sinks">
        {found.sinks.map((sink) => (
          <OneSink key={sink.id} sink={sink} me={me} />
        ))}
      </ul>
      {found.problem ? null : <Routes of={found} />}
      <Section title="How sinks are configured">
        <p>
          In the file <code>{found.source}</code> on the server: set <code>"enabled": true</code>, and name the
          variables that hold its address and secrets. The values stand in the environment of{" "}
          <code>interlock serve</code> and nowhere else; it is started anew to learn them. The file itself is read anew
          each time.
        </p>
      </Section>
    </>
  );
}
