import { Section } from "../../parts/Facts";
import { RelativeTime } from "../../parts/RelativeTime";
import { useVersions } from "../../useOpsService";
import { Plain } from "./Plain";

/** Who wrote each version, and why. */
export function Versions({ id }: { id: string }) {
  const { data } = useVersions(id);
  if (!data?.length) return null;
  return (
    <Section title="Versions">
      <ol className="plain review-versions" reversed>
        {data.map((each) => (
          <li key={each.version}>
            <strong>{each.version}</strong> {each.how} by {each.by ?? "somebody"} · <RelativeTime at={each.at} />
            {each.reason ? (
              <>
                {" · "}
                <Plain text={each.reason} />
              </>
            ) : null}
          </li>
        ))}
      </ol>
    </Section>
  );
}
