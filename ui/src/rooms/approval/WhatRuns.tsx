import { type Fact, Facts, Section } from "../../parts/Facts";
import { keyed } from "../../parts/keyed";
import { asText, bound, isWords, plain } from "../../parts/words";
import { ANY_COMMAND } from "./form";
import { CommandBlock, Plain, Words } from "./Plain";

const ELSEWHERE = new Set(["schema", "prompt", "content", "context", "command", "limits", "base_ref"]);
const NAMES: Readonly<Record<string, string>> = { base_commit: "commit", needs: "needs of a node", rung: "done when" };
const RUNGS: Readonly<Record<string, string>> = {
  self_reported: "it is said (self_reported)",
  exit_code: "its process ended with 0 (exit_code)",
  checked: "its checks passed on exactly the result (checked)",
  ci: "CI says so of exactly the result (ci)",
};

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

function rung(value: unknown): string {
  if (value === null || value === undefined) return "as the workspace asks for when it runs";
  return RUNGS[asText(value)] ?? asText(value);
}

function limits(value: unknown): Fact[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).map(([name, limit]): Fact => {
    const unit = name.slice(name.lastIndexOf("_") + 1);
    const what = plain(name.slice(0, Math.max(0, name.lastIndexOf("_"))) || name);
    return [
      `${what} up to`,
      <span key={name} title={`${name}: ${asText(limit)}`}>
        {limit === 0 ? "no limit" : bound(limit, unit)}
      </span>,
    ];
  });
}

/** Whether the command of these is still to be written; what waits for an approval always has it. */
function isWritten({ command, agent }: Readonly<Record<string, unknown>>): boolean {
  return command === null && typeof agent === "string" && agent !== ANY_COMMAND;
}

interface Props {
  terms: Readonly<Record<string, unknown>>;
  title?: string;
}

/** What an approval freezes: every field of the terms that is no text of its own, whatever fields there are. */
export function WhatRuns({ terms, title = "What will run" }: Props) {
  const facts = Object.entries({ agent: terms.agent, ...terms })
    .filter(([name]) => !ELSEWHERE.has(name))
    .map(([name, value]): Fact => [NAMES[name] ?? plain(name), name === "rung" ? rung(value) : shown(value)]);
  return (
    <Section title={title}>
      {isWritten(terms) ? (
        <p className="hint">
          The command is written for <code>{asText(terms.agent)}</code> when the draft is made; its review shows it word
          for word.
        </p>
      ) : (
        <CommandBlock command={terms.command} />
      )}
      <Facts of={[...facts, ...limits(terms.limits)]} />
    </Section>
  );
}
