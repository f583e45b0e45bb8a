import { Link } from "wouter";
import type { WaitingKind } from "../../types";

interface Props {
  kinds: readonly WaitingKind[];
  chosen: string | null;
}

/** The kinds of which something waits, in their order; each is a link that shows it alone. */
export function Kinds({ kinds, chosen }: Props) {
  const all = kinds.reduce((sum, kind) => sum + kind.listed, 0);
  const more = kinds.some((kind) => kind.more);
  return (
    <nav className="filters" aria-label="Inbox by kind">
      <Link href="/inbox" aria-current={chosen === null ? "page" : undefined}>
        everything <span className="inbox-count">{`${all}${more ? "+" : ""}`}</span>
      </Link>
      {kinds.map(({ kind, title, listed, more: beyond, why }) => (
        <Link key={kind} href={`/inbox?kind=${kind}`} title={why} aria-current={kind === chosen ? "page" : undefined}>
          {title.toLowerCase()} <span className="inbox-count">{`${listed}${beyond ? "+" : ""}`}</span>
        </Link>
      ))}
    </nav>
  );
}
