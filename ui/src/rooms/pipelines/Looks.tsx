import { keyed } from "../../parts/keyed";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { DeploymentInFull } from "../../types";

type Look = DeploymentInFull["looks"][number];

function Numbers({ look }: { look: Look }) {
  const seen = look.health_metrics;
  const told = [
    seen.error_rate ? `errors ${seen.error_rate} %` : "",
    seen.response_time_ms ? `answers in ${seen.response_time_ms} ms` : "",
    seen.cpu_usage ? `processor ${seen.cpu_usage} %` : "",
    seen.memory_usage ? `memory ${seen.memory_usage} %` : "",
    seen.active_connections ? `${seen.active_connections} connections` : "",
  ].filter(Boolean);
  return told.length ? <p className="small">{told.join(" · ")}</p> : null;
}

/** Each look at the health of what was deployed, the newest first: what every probe measured. */
export function Looks({ of: looks }: { of: readonly Look[] }) {
  if (looks.length === 0) return <p className="hint">Nobody has looked at its health yet.</p>;
  return (
    <ol className="plain" aria-label="Looks at its health">
      {keyed(looks)
        .toReversed()
        .map(({ key, item: look }) => (
          <li key={key} className="pipelines-job">
            <StateBadge state={look.healthy ? "healthy" : "failed"} />{" "}
            <span className="small">
              <RelativeTime at={look.at} />
            </span>
            <Numbers look={look} />
            <ul className="plain">
              {look.probes.map((probe) => (
                <li key={probe.name}>
                  {probe.passed ? "✓" : "✗"} <strong>{probe.name}</strong>{" "}
                  <span className="small">
                    {probe.kind} · {probe.passed ? "passed" : "failed"}
                    {probe.measured ? ` · measured ${probe.measured}` : ""}
                  </span>
                  {probe.passed || !probe.message ? null : <p className="hint">{probe.message}</p>}
                </li>
              ))}
            </ul>
          </li>
        ))}
    </ol>
  );
}
