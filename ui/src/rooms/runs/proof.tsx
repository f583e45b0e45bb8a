import type { Fact } from "../../parts/Facts";
import { visible } from "../../parts/hidden";
import { RelativeTime } from "../../parts/RelativeTime";
import { counted, dollars, number } from "../../parts/words";
import type { Rung, RunInFull } from "../../types";

const RUNGS: Readonly<Record<Rung, string>> = {
  self_reported: "somebody says so",
  exit_code: "its process ended with 0",
  checked: "its checks passed on exactly the result",
  ci: "CI says so of exactly the result",
};

/** How well it is proven done: of a run that is not done, what its worker itself could show. */
export function proofFacts(run: RunInFull): Fact[] {
  const rung = run.rung ?? run.result?.proof?.rung;
  if (!rung) return [];
  const name = run.rung ? "proven done" : "proven so far";
  return [
    [
      name,
      <span key="p">
        <code>{rung}</code>: {RUNGS[rung] ?? rung}
      </span>,
    ],
  ];
}

/** What the agent said of itself; none of it makes a run done. */
export function agentFacts(result: RunInFull["result"]): Fact[] {
  const said = result?.agent;
  if (!said) return [];
  const used = said.input_tokens + said.output_tokens;
  return [
    ["agent", <code key="a">{visible(said.name)}</code>],
    ["turns", number(said.turns)],
    [
      "tokens",
      `${counted(used, "token")}: ${number(said.input_tokens)} read, ${number(said.output_tokens)} written, as it says`,
    ],
    ["cost", said.cost_microusd === null ? "not told" : `${dollars(said.cost_microusd)}, as it says`],
    ...(said.terminal ? [["its last word", said.terminal] as const] : []),
    ...(said.resets_at ? [["may go on", <RelativeTime key="r" at={said.resets_at} />] as const] : []),
    ...(said.session_id ? [["session", <code key="s">{visible(said.session_id)}</code>] as const] : []),
  ];
}
