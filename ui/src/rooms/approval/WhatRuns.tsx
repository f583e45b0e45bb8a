import { type Fact, Facts, Section } from "../../parts/Facts";
import { keyed } from "../../parts/keyed";
import { asText, bound, isWords, plain } from "../../parts/words";
import { CommandBlock, Plain, Words } from "./Plain";

const ELSEWHERE = new Set(["schema", "prompt", "content", "context", "command", "limits", "base_ref"]);
const NAMES: Readonly<Record<string, string>> = { base_commit: "commit" };

function shown(value: unknown) {
  if (isWords(value))
    return (
      <code>
        <Words words={value} />
      </code>
    );
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    return (
      <ul className="plain">
        {keyed(value).map(({ key, item: each }) => (
          <li key={key}>
            <code>{isWords(each) ? <Words words={each} /> : <Plain text={asText(each)} />}</code>
          </li>
        ))}
      </ul>
    );
  }
  return typeof value === "string" ? (
    <code>
      <Plain text={value} />
    </code>
  ) : (
    asText(value)
  );
}

function limits(value: unknown): Fact[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).map(([name, limit]): Fact => {
    const unit = name.slice(name.lastIndexOf("_") + 1);
    const what = plain(name.slice(0, name.lastIndexOf("_")));
    return [
      `${what} up to`,
      <span key={name} title={`${name}: ${asText(limit)}`}>
        {bound(limit, unit)}
      </span>,
    ];
  });
}

interface Props {
  terms: Readonly<Record<string, unknown>>;
  title?: string;
}

/** What an approval freezes: every field of the terms that is no text of its own, whatever fields there are. */
export function WhatRuns({ terms, title = "What will run" }: Props) {
  const facts = Object.entries(terms)
    .filter(([name]) => !ELSEWHERE.has(name))
    .map(([name, value]): Fact => [NAMES[name] ?? plain(name), shown(value)]);
  return (
    <Section title={title}>
      <CommandBlock command={terms.command} />
      <Facts of={[...facts, ...limits(terms.limits)]} />
    </Section>
  );
}
