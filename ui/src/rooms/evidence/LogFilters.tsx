import { type FormEvent, type ReactNode, useId } from "react";
import { Link, useLocation } from "wouter";
import type { LogFilter, LogPage } from "../../types";
import { isFiltered, link } from "./links";
import "./evidence.css";
import { number } from "../../parts/words";

const NAMES = { kind: "kind", subject: "about", principal: "by", text: "text" } as const;
const CHOSEN = ["kind", "subject", "principal", "text"] as const;

interface Props {
  base: string;
  now: LogFilter;
  page: LogPage | undefined;
  families: readonly string[];
  /** More choices, above the pages. */
  more?: ReactNode;
}

function Families({ base, now, families }: Omit<Props, "page" | "more">) {
  return (
    <nav className="filters" aria-label="Entries by family">
      <Link href={link(base, now, { kind: undefined })} aria-current={now.kind ? undefined : "page"}>
        all
      </Link>
      {families.map((family) => (
        <Link
          key={family}
          href={link(base, now, { kind: family })}
          aria-current={now.kind === family ? "page" : undefined}
        >
          {family}
        </Link>
      ))}
    </nav>
  );
}

/** Where the list stands in the log, and the ways to the next page. */
export function Pager({ base, now, page }: Omit<Props, "families" | "more">) {
  if (!page || page.size === 0) return null;
  return (
    <nav className="evidence-pager small" aria-label="Pages">
      <span>
        {page.searched_from >= page.searched_to
          ? `${number(page.size)} entries`
          : `${number(page.searched_from)} to ${number(page.searched_to - 1)} of ${number(page.size)} entries`}
      </span>
      {now.before === undefined ? null : <Link href={link(base, now)}>Newest</Link>}
      {page.next === null ? null : <Link href={link(base, now, { before: page.next })}>Older</Link>}
    </nav>
  );
}

/** What is looked for; every choice is a link, a text is a form that makes one. */
export function LogFilters({ base, now, page, families, more }: Props) {
  const [, go] = useLocation();
  const field = useId();
  function search(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("text");
    go(link(base, now, { text: typeof text === "string" ? text.trim() : undefined }));
  }
  return (
    <>
      <form role="search" className="evidence-search" onSubmit={search}>
        <label htmlFor={field} className="small">
          Text in an entry
        </label>
        <input key={now.text ?? ""} id={field} name="text" type="search" maxLength={200} defaultValue={now.text} />
        <button type="submit">Search</button>
      </form>
      <Families base={base} now={now} families={families} />
      {more}
      {isFiltered(now) ? (
        <ul className="evidence-chosen plain" aria-label="Chosen filters">
          {CHOSEN.filter((name) => now[name]).map((name) => (
            <li key={name}>
              <Link href={link(base, now, { [name]: undefined })} aria-label={`Without ${NAMES[name]} ${now[name]}`}>
                {NAMES[name]} <code>{now[name]}</code> <span aria-hidden="true">×</span>
              </Link>
            </li>
          ))}
        </ul>
      ) : null}
      <Pager base={base} now={now} page={page} />
    </>
  );
}

/** What is said where a search has found nothing: there is none, or it has not looked everywhere yet. */
export function NothingFound({ base, now, page }: Omit<Props, "families" | "more">) {
  if (!page) return null;
  const whole = page.next === null && now.before === undefined;
  return (
    <div className="empty">
      <h2>{whole ? "No entry is like that" : "Nothing here"}</h2>
      <p>
        {page.next === null ? (
          <Link href={base}>All entries</Link>
        ) : (
          <>
            Entries from {number(page.searched_from)} on were looked through.{" "}
            <Link href={link(base, now, { before: page.next })}>Search further back</Link>
          </>
        )}
      </p>
    </div>
  );
}
