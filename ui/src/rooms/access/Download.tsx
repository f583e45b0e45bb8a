import { Command } from "../../parts/Copy";
import { shellWords } from "../../parts/words";
import type { LogFilter } from "../../types";

/** What is listed as a file, here and by the same request elsewhere. */
export function Download({ now }: { now: LogFilter }) {
  const file = (format: string) => {
    const { before, ...filters } = now;
    const words = new URLSearchParams({ format, ...(before === undefined ? {} : { end: String(before) }) });
    for (const [name, word] of Object.entries(filters)) words.set(name, String(word));
    return `/ops/audit/export?${words}`;
  };
  const address = `${globalThis.location.origin}${file("jsonl")}`;
  return (
    <details className="access-export">
      <summary>Download what is listed, out of the last 100,000 entries</summary>
      <p className="buttons">
        <a href={file("jsonl")} download>
          JSONL
        </a>
        <a href={file("csv")} download>
          CSV
        </a>
      </p>
      <Command line={`curl -OJ -H "Authorization: Bearer $INTERLOCK_TOKEN" ${shellWords([address])}`} />
      <p className="small">A table proves nothing; what an outsider can check is written by:</p>
      <Command line="interlock evidence export ./evidence" />
    </details>
  );
}
