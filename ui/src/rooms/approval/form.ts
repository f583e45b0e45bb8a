/** What is typed into the fields of a draft, and what is sent of it. */
import { shellWords } from "../../parts/words";
import type { DraftInFull, Limits, Problem, Rung, Work, WorkBody } from "../../types";
import { readCommand } from "./shell";

export const LIMIT_NAMES = [
  "wall_clock_seconds",
  "check_seconds",
  "output_bytes",
  "disk_bytes",
  "patch_bytes",
  "tokens",
  "cost_microusd",
] as const satisfies readonly (keyof Limits)[];
export type LimitName = (typeof LIMIT_NAMES)[number];
/** Those that may be 0, which is no limit. */
const MAY_BE_NONE: readonly LimitName[] = ["tokens", "cost_microusd"];

/** Any command: nothing is written for it, and what it prints is not read. */
export const ANY_COMMAND = "command";
export const AGENTS: readonly string[] = [ANY_COMMAND, "claude_code", "codex", "gemini_cli", "opencode"];
export const RUNGS = ["self_reported", "exit_code", "checked", "ci"] as const satisfies readonly Rung[];

export interface Fields {
  prompt: string;
  content: string;
  context: string;
  repository: string;
  base: string;
  agent: string;
  model: string;
  /** One a line, or with a comma between two. */
  tools: string;
  command: string;
  /** One command a line. */
  checks: string;
  environment: string;
  needs: string;
  /** Empty for what the workspace asks for. */
  rung: Rung | "";
  network: boolean;
  limits: Readonly<Record<LimitName, string>>;
}
export type Errors = Readonly<Record<string, string>>;

const NO_LIMITS: Readonly<Record<LimitName, string>> = {
  wall_clock_seconds: "",
  check_seconds: "",
  output_bytes: "",
  disk_bytes: "",
  patch_bytes: "",
  tokens: "",
  cost_microusd: "",
};
export const EMPTY: Fields = {
  prompt: "",
  content: "",
  context: "",
  repository: "",
  base: "",
  agent: ANY_COMMAND,
  model: "",
  tools: "",
  command: "",
  checks: "",
  environment: "",
  needs: "",
  rung: "",
  network: true,
  limits: NO_LIMITS,
};

/** Write a draft into the fields; what its work leaves open stays open. */
export function fieldsOf(draft: DraftInFull): Fields {
  const { work, context } = draft;
  const limits = Object.fromEntries(LIMIT_NAMES.map((name) => [name, `${work.limits[name]}`]));
  return {
    prompt: draft.prompt,
    content: draft.content ?? "",
    context: typeof context === "string" ? context : asJson(context),
    repository: work.repository ?? "",
    base: work.base_ref ?? "",
    agent: work.agent,
    model: work.model ?? "",
    tools: (work.tools ?? []).join("\n"),
    command: work.command ? shellWords(work.command) : "",
    checks: work.checks.map((check) => oneLine(check)).join("\n"),
    environment: work.environment.join(" "),
    needs: (work.needs ?? []).join(" "),
    rung: work.rung ?? "",
    network: work.network,
    limits: { ...NO_LIMITS, ...limits },
  };
}

function asJson(context: Readonly<Record<string, unknown>>): string {
  return Object.keys(context).length ? JSON.stringify(context, null, 2) : "";
}

function oneLine(command: readonly string[]): string {
  return command.some((word) => word.includes("\n")) ? JSON.stringify(command) : shellWords(command);
}

/** Read the context: a JSON object as it is, every other text under the name `text`. */
export function readContext(text: string): Record<string, unknown> | undefined {
  if (!text.trim()) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // a text, then
  }
  return { text };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line.trim());
}

const OWN_COMMAND = "Shapes the command that is written for an agent; this work brings its own.";

/** Say what is wrong before anything is sent; the server looks again. */
export function problemsOf(fields: Fields): Errors {
  const found: Record<string, string> = {};
  if (!fields.prompt.trim()) found.prompt = "A draft needs a prompt.";
  const command = fields.command.trim() ? readCommand(fields.command) : undefined;
  if (command && "problem" in command) found.command = command.problem;
  if (command && fields.model.trim()) found.model = OWN_COMMAND;
  if (command && fields.tools.trim()) found.tools = OWN_COMMAND;
  for (const line of lines(fields.checks)) {
    const check = readCommand(line);
    if ("problem" in check) found.checks = `${line.slice(0, 40)}: ${check.problem}`;
  }
  for (const name of LIMIT_NAMES) {
    const limit = fields.limits[name].trim();
    const none = limit === "0" && MAY_BE_NONE.includes(name);
    if (limit && !none && !/^[1-9]\d{0,15}$/.test(limit)) found[name] = "A whole number above 0.";
  }
  return found;
}

function wordsOf(line: string): string[] {
  const split = readCommand(line);
  return "words" in split ? split.words : [];
}

function namesIn(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

export function limitsOf(fields: Fields): Record<string, number> {
  const given = LIMIT_NAMES.filter((name) => fields.limits[name].trim());
  return Object.fromEntries(given.map((name) => [name, Number(fields.limits[name])]));
}

/** What is sent as work: words are sent as they were shown, so that nobody splits them again. */
export function workOf(fields: Fields): Required<WorkBody> {
  return {
    command: fields.command.trim() ? wordsOf(fields.command) : null,
    repository: fields.repository.trim() || null,
    base: fields.base.trim() || null,
    agent: fields.agent,
    model: fields.model.trim() || null,
    tools: fields.tools.split(/[\n,]/).flatMap((tool) => tool.trim() || []),
    checks: lines(fields.checks).map(wordsOf),
    environment: namesIn(fields.environment),
    needs: namesIn(fields.needs),
    rung: fields.rung || null,
    network: fields.network,
    limits: limitsOf(fields),
  };
}

/** What will hold, as the server fills in what is left open: all of the default agent, or nothing of it. */
export function willHold(fields: Fields, defaults: Work): Record<string, unknown> {
  const own = workOf(fields);
  const open = own.command === null;
  const named = own.agent !== ANY_COMMAND;
  return {
    agent: named || !open ? own.agent : defaults.agent,
    ...(own.model ? { model: own.model } : {}),
    ...(own.tools.length ? { tools: own.tools } : {}),
    command: own.command ?? (named ? null : defaults.command),
    repository: own.repository ?? (open ? defaults.repository : null),
    base: own.base ?? (open && defaults.base_ref ? defaults.base_ref : "HEAD, as it is when the draft is made"),
    checks: own.checks.length || !open ? own.checks : defaults.checks,
    environment: own.environment.length || !open ? own.environment : defaults.environment,
    needs: own.needs.length || !open ? own.needs : (defaults.needs ?? []),
    rung: own.rung ?? (open ? defaults.rung : null) ?? null,
    network: own.network,
    limits: { ...defaults.limits, ...own.limits },
  };
}

/** The server's own words, by the field that they are about. */
export function errorsIn(problem: Problem): Errors {
  const found: Record<string, string> = {};
  for (const error of problem.errors ?? []) {
    const place = Array.isArray(error.loc) ? error.loc.map(String) : [];
    const name = place.find((part) => !["body", "work", "limits"].includes(part));
    if (name) found[name] = typeof error.msg === "string" ? error.msg : "This is not valid.";
  }
  return found;
}

const MOST_TYPED = 300;

/** The words of the command line that say the same; long texts would stand in files. */
export function optionsOf(fields: Fields): string[] {
  const work = workOf(fields);
  const context = readContext(fields.context);
  const fits = fields.prompt.length <= MOST_TYPED && !fields.prompt.includes("\n");
  return [
    ...(fits ? ["--prompt", fields.prompt] : ["--prompt-file", "prompt.txt"]),
    ...(fields.content ? ["--content", fields.content.length <= MOST_TYPED ? fields.content : "…"] : []),
    ...(context ? ["--context", JSON.stringify(context)] : []),
    ...(work.repository ? ["--repo", work.repository] : []),
    ...(work.base ? ["--base", work.base] : []),
    ...(work.agent === ANY_COMMAND ? [] : ["--agent", work.agent]),
    ...(work.model ? ["--agent-model", work.model] : []),
    ...work.tools.flatMap((tool) => ["--allow", tool]),
    ...(Array.isArray(work.command) ? ["--command", shellWords(work.command)] : []),
    ...work.checks.flatMap((check) => ["--check", typeof check === "string" ? check : shellWords(check)]),
    ...work.environment.flatMap((name) => ["--env", name]),
    ...work.needs.flatMap((name) => ["--need", name]),
    ...(work.rung ? ["--rung", work.rung] : []),
    ...(work.network ? [] : ["--no-network"]),
    ...Object.entries(work.limits).flatMap(([name, limit]) => ["--limit", `${name}=${limit}`]),
  ];
}
