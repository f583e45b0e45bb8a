import { memo } from "react";
import { visible } from "../../parts/hidden";
import { keyed } from "../../parts/keyed";
import type { Line } from "../../types";
import { pieces } from "./hits";

interface Props {
  number: number;
  line: Line | undefined;
  top: number;
  total: number;
  wanted: string;
  chosen: boolean;
}

function Text({ text, wanted }: { text: string; wanted: string }) {
  return keyed(pieces(text, wanted)).map(({ key, item: piece }) =>
    piece.hit ? <mark key={key}>{piece.text}</mark> : <span key={key}>{piece.text}</span>,
  );
}

/** One line of a log at its place; while it is fetched, its number alone. */
export const LogRow = memo(function LogRow({ number, line, top, total, wanted, chosen }: Props) {
  return (
    <div
      role="listitem"
      className="runs-line"
      aria-posinset={number}
      aria-setsize={total}
      data-level={line?.level}
      data-source={line?.source}
      data-chosen={chosen || undefined}
      style={{ transform: `translateY(${top}px)` }}
    >
      <span className="runs-number">{number}</span>
      {line ? (
        <>
          <time dateTime={line.ts} title={line.ts}>
            {line.ts.slice(11, 19)}
          </time>
          <span className="runs-text">
            <Text text={visible(line.msg)} wanted={wanted} />
          </span>
        </>
      ) : (
        <span className="runs-text">…</span>
      )}
    </div>
  );
});
