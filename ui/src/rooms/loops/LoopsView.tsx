import { useSearch } from "wouter";
import type { ViewProps } from "../../parts/ViewProps";
import { Fleet } from "./Fleet";
import { LoopDetail } from "./LoopDetail";
import "./loops.css";

/** Every agent loop that is looked after, or one of them. */
export default function LoopsView({ id, me }: ViewProps) {
  const repo = new URLSearchParams(useSearch()).get("repo") ?? undefined;
  return id === undefined ? <Fleet me={me} /> : <LoopDetail key={`${repo} ${id}`} id={id} repo={repo} me={me} />;
}
