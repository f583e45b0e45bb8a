import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { visible } from "../../parts/hidden";
import { type DiffFile, type DiffLine, parsePatch } from "./patch";

const FOLDED_FROM = 400; // a file with more lines is opened by who wants to read it
const FILE_ROW = 34;
const LINE_ROW = 18;
const SIGNS: Readonly<Record<DiffLine["kind"], string>> = { add: "+", del: "−", same: " ", hunk: "", note: "" };

type Row = { file: DiffFile; place: number; line?: DiffLine };

function rowsOf(files: readonly DiffFile[], open: ReadonlySet<number>): Row[] {
  const rows: Row[] = [];
  files.forEach((file, place) => {
    rows.push({ file, place });
    if (open.has(place)) for (const line of file.lines) rows.push({ file, place, line });
  });
  return rows;
}

export function Counts({ added, deleted }: { added: number | null; deleted: number | null }) {
  return (
    <span className="runs-counts">
      <span data-kind="add">+{added ?? 0}</span> <span data-kind="del">−{deleted ?? 0}</span>
    </span>
  );
}

function FileHead({ file, open, onFlip }: { file: DiffFile; open: boolean; onFlip: () => void }) {
  return (
    <button type="button" className="runs-file" aria-expanded={open} onClick={onFlip} disabled={!file.lines.length}>
      <span className="runs-name">{visible(file.name)}</span>
      <span className="small">{file.facts.map(visible).join(" · ")}</span>
      <Counts added={file.added} deleted={file.deleted} />
    </button>
  );
}

function DiffRow({ line }: { line: DiffLine }) {
  return (
    <div className="runs-diffline" data-kind={line.kind}>
      <span className="runs-number">{line.old}</span>
      <span className="runs-number">{line.new}</span>
      <span>{SIGNS[line.kind]}</span>
      <span className="runs-text">{visible(line.text)}</span>
    </div>
  );
}

/** A patch file by file; only what is in view is on the page, so that fifty thousand lines stay quick. */
export function Diff({ patch }: { patch: string }) {
  const files = useMemo(() => parsePatch(patch), [patch]);
  const [open, setOpen] = useState<ReadonlySet<number>>(
    () => new Set(files.flatMap((file, place) => (file.lines.length < FOLDED_FROM ? [place] : []))),
  );
  const rows = useMemo(() => rowsOf(files, open), [files, open]);
  const box = useRef<HTMLDivElement>(null);
  const view = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (place) => (rows[place]?.line ? LINE_ROW : FILE_ROW),
    getItemKey: (place) => `${rows[place]?.place} ${rows[place]?.line ? place : "head"}`,
    overscan: 30,
  });
  const flip = (place: number) => {
    const next = new Set(open);
    if (!next.delete(place)) next.add(place);
    setOpen(next);
  };
  const all = files.length > 0 && open.size === files.length;
  return (
    <>
      <p className="buttons">
        <span className="small">
          {files.length} {files.length === 1 ? "file" : "files"}
        </span>
        <button
          type="button"
          className="quiet"
          onClick={() => setOpen(all ? new Set() : new Set(files.map((_, place) => place)))}
        >
          {all ? "Fold all" : "Unfold all"}
        </button>
      </p>
      <div ref={box} className="runs-diff" role="group" tabIndex={0} aria-label="Diff">
        <div className="runs-all" style={{ height: view.getTotalSize() }}>
          {view.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return (
              <div key={item.key} className="runs-diffrow" style={{ transform: `translateY(${item.start}px)` }}>
                {row.line ? (
                  <DiffRow line={row.line} />
                ) : (
                  <FileHead file={row.file} open={open.has(row.place)} onFlip={() => flip(row.place)} />
                )}
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}
