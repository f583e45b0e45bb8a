import { Facts, Section } from "../../parts/Facts";

/** What roles allow, and what no role does: only a human decides. */
export function Roles() {
  return (
    <Section title="What a token may do">
      <Facts
        of={[
          ["actions", "reads: lists, logs, evidence"],
          ["operator", "the same, and starts what is approved, cancels, retries, works the queue, raises panic"],
          ["admin", "the same, and writes drafts and the plan, manages tokens and providers"],
        ]}
      />
      <p className="hint access-note">
        A role says who may call. Who may <strong>decide</strong> is another matter: only a token of kind human
        approves, takes an approval back, accepts a pipeline, erases or releases panic, whatever its role. Agents never
        manage tokens, and a human's token is made by a human.
      </p>
    </Section>
  );
}
