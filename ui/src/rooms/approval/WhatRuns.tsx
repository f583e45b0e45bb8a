import { Block } from "../../parts/Block";
import { type Fact, Facts, Section } from "../../parts/Facts";
import { asText, bound, isWords, shellWords } from "../../parts/words";

const ELSEWHERE = new Set(["schema", "prompt", "content", "context", "command", "limits", "base_ref"]);
const NAMES: Readonly<Record<string, string>> = { base_commit: "commit" };

function shown(value: unknown) {
  if (isWords(value)) return <code>{shellWords(value)}</code>;
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    return (
      <ul className="plain">
        {value.map((each, place) => (
          <li key={place}>
            <code>{isWords(each) ? shellWords(each) : asText(each)}</code>
          </li>
        ))}
      </ul>
    );
  }
  return typeof value === "string" ? <code>{value}</code> : asText(value);
}

function limits(value: unknown): Fact[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).map(([name, limit]): Fact => {
    const unit = name.slice(name.lastIndexOf("_") + 1);
    const what = name.slice(0, name.lastIndexOf("_")).replaceAll("_", " ");
    return [`${what} up to`, <span title={`${name}: ${asText(limit)}`}>{bound(limit, unit)}</span>];
  });
}

/** What an approval freezes: every field of the terms that is no text of its own, whatever fields there are. */
export function WhatRuns({ terms }: { terms: Readonly<Record<string, unknown>> }) {
  const facts = Object.entries(terms)
    .filter(([name]) => !ELSEWHERE.has(name))
    .map(([name, value]): Fact => [NAMES[name] ?? name.replaceAll("_", " "), shown(value)]);
  return (
    <Section title="What will run">
      {isWords(terms.command) ? (
        <Block name="Command" text={shellWords(terms.command)} runs />
      ) : (
        <p className="hint">No command is named, neither here nor as the default of the workspace.</p>
      )}
      <Facts of={[...facts, ...limits(terms.limits)]} />
    </Section>
  );
}
