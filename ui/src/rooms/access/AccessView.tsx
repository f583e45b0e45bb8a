import { Link, useSearch } from "wouter";
import { Empty, Facts, Section } from "../../parts/Facts";
import { Failure } from "../../parts/Failure";
import { chosenOf, Filters } from "../../parts/Filters";
import { ListAndDetail } from "../../parts/ListAndDetail";
import { RelativeTime } from "../../parts/RelativeTime";
import { StateBadge } from "../../parts/StateBadge";
import type { ViewProps } from "../../parts/ViewProps";
import type { Me, Token } from "../../types";
import { useTokens } from "../../useOpsService";
import { CreateToken } from "./CreateToken";
import { Roles } from "./Roles";
import { TokenVerbs } from "./TokenVerbs";
import "./access.css";

const STATES = ["all", "valid", "expired", "revoked"] as const;

function TokenDetail({ token, me }: { token: Token; me: Me }) {
  return (
    <article aria-label={`Token ${token.name}`} className="detail">
      <header className="detail-head">
        <StateBadge state={token.status} />
        <h2>{token.name}</h2>
      </header>
      <Facts
        of={[
          ["id", <code key="i">{token.id}</code>],
          ["proves", token.principal],
          ["kind", token.kind === "human" ? "human, who may decide" : token.kind],
          ["role", token.role],
          ["made by", token.created_by],
          ["made", <RelativeTime key="c" at={token.created_at} />],
          ["last used", token.last_used_at ? <RelativeTime key="u" at={token.last_used_at} /> : "never"],
          ["expires", token.expires_at ? <RelativeTime key="e" at={token.expires_at} /> : "never"],
          ["rotated", <RelativeTime key="r" at={token.rotated_at} />],
          ...(token.status === "valid" && token.old_until
            ? [["old text counts until", <RelativeTime key="o" at={token.old_until} />] as const]
            : []),
          ...(token.revoked_at
            ? [
                [
                  "revoked",
                  <span key="v">
                    <RelativeTime at={token.revoked_at} /> by {token.revoked_by}
                  </span>,
                ] as const,
              ]
            : []),
        ]}
      />
      <p>
        <Link href={`/audit?subject=${encodeURIComponent(token.id)}`}>What happened to it</Link> ·{" "}
        <Link href={`/audit?principal=${encodeURIComponent(token.principal)}`}>What {token.principal} did</Link>
      </p>
      <TokenVerbs key={token.id} token={token} me={me} />
    </article>
  );
}

function Overview({ me }: { me: Me }) {
  return (
    <article aria-label="Access" className="detail">
      {me.kind === "agent" ? null : (
        <Section title="Create a token">
          <CreateToken me={me} />
        </Section>
      )}
      <Roles />
    </article>
  );
}

function Tokens({ id, me }: ViewProps) {
  const state = chosenOf(STATES, useSearch());
  const tokens = useTokens();
  const where = state === "all" ? "" : `?status=${state}`;
  const shown = (tokens.data ?? []).filter((token) => state === "all" || token.status === state);
  const isNew = id === undefined || id === "new";
  const selected = tokens.data?.find((token) => token.id === id);
  const rows = shown.map((token) => ({
    id: token.id,
    href: `/access/${token.id}${where}`,
    title: (
      <>
        <StateBadge state={token.status} /> {token.name}
      </>
    ),
    below: (
      <>
        {token.principal} · {token.role} ·{" "}
        {token.last_used_at ? (
          <>
            used <RelativeTime at={token.last_used_at} />
          </>
        ) : (
          "never used"
        )}
      </>
    ),
  }));
  return (
    <ListAndDetail
      label="Tokens"
      rows={rows}
      selected={id}
      back={`/access${where}`}
      head={
        <>
          <h1>Access</h1>
          <Filters label="Tokens by state" base="/access" words={STATES} chosen={state} />
          <Link href={`/access/new${where}`}>{me.kind === "agent" ? "What a token may do" : "Create a token"}</Link>
          {tokens.error ? <Failure of={tokens.error} again={() => void tokens.refetch()} /> : null}
        </>
      }
      empty={
        tokens.isPending ? (
          <p className="waiting">…</p>
        ) : tokens.error ? null : (
          <Empty title={state === "all" ? "There is no token yet" : `No token is ${state}`}>
            Each caller gets one of its own: <code>interlock token create --name ci --role operator</code>
          </Empty>
        )
      }
    >
      {isNew ? (
        <div className={id === undefined ? "only-wide" : undefined}>
          <Overview me={me} />
        </div>
      ) : null}
      {selected ? <TokenDetail key={selected.id} token={selected} me={me} /> : null}
      {!isNew && !selected && tokens.data ? <Empty title="There is no such token">{id}</Empty> : null}
    </ListAndDetail>
  );
}

/** Who may call, and as whom. */
export default function AccessView({ id, me }: ViewProps) {
  if (me.role === "admin") return <Tokens id={id} me={me} />;
  return (
    <article aria-label="Access" className="detail access-alone">
      <h1>Access</h1>
      <Facts
        of={[
          ["you are", me.id],
          ["role", me.role],
          ["you may decide", me.may_decide ? "yes" : "no, only a human does"],
        ]}
      />
      <p className="hint">Tokens are listed and made by admins.</p>
      <Roles />
    </article>
  );
}
