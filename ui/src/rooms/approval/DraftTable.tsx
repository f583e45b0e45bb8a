import { Link, useLocation } from "wouter";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import { Heads } from "../../parts/Table";
import { useKeys } from "../../parts/useKeys";
import type { Draft } from "../../types";
import { Plain } from "./Plain";

const LONGEST = 160;

function short(text: string): string {
  const line = text.trim().split("\n", 1)[0] ?? "";
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

/** Drafts as a table; j opens the first one, and from there j and k walk. */
export function DraftTable({ drafts, where }: { drafts: readonly Draft[]; where: string }) {
  const [, go] = useLocation();
  const first = drafts[0];
  useKeys(first ? { j: () => go(`/review/${first.id}${where}`) } : {});
  return (
    <table className="review-table" aria-label="Drafts">
      <Heads of={["ID", "Prompt", "Provider", "Status", "Who", "When", "Actions"]} />
      <tbody>
        {drafts.map((draft) => (
          <tr key={draft.id}>
            <td>
              <code>{draft.id}</code>
            </td>
            <td className="review-prompt">
              <Plain text={short(draft.prompt)} />
            </td>
            <td>{draft.provider ?? "by hand"}</td>
            <td>
              <StateBadge state={draft.status} />
            </td>
            <td>{draft.decided_by ?? draft.author}</td>
            <td>
              <RelativeTime at={draft.updated_at} />
            </td>
            <td>
              <Link href={`/review/${draft.id}${where}`} aria-label={`Review ${draft.id}`}>
                Review
              </Link>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
