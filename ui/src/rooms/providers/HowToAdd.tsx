import { Command } from "../../parts/Copy";
import { Section } from "../../parts/Facts";

const LINE = [
  "interlock provider set --name NAME --type openai_compat --model MODEL",
  "--base-url https://HOST/v1 --api-key-env NAME_OF_A_VARIABLE",
].join(" ");

/** How a provider is added; a key never goes through a browser. */
export function HowToAdd() {
  return (
    <Section title="Add or change one">
      <div className="provider-teach">
        <p className="hint">
          Where the workspace is. The key stays in an environment variable of the server; only the variable's name is
          kept. <code>--type</code> is <code>openai_compat</code>, <code>anthropic</code> or <code>gemini</code>.
        </p>
        <Command line={LINE} />
        <Command line="interlock provider check" />
      </div>
    </Section>
  );
}
