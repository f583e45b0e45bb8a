export interface DiffLine {
  kind: "add" | "del" | "same" | "hunk" | "note";
  old: number | undefined;
  new: number | undefined;
  text: string;
}
export interface DiffFile {
  name: string;
  /** What is told beside its lines: a rename, a mode, that it is binary. */
  facts: string[];
  added: number;
  deleted: number;
  lines: DiffLine[];
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;
const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, "\\": 92 };

/** Read a name as git writes it: plain, or in quotes with escapes of bytes. */
export function nameOf(told: string): string {
  if (!told.startsWith('"')) return told.replace(/\t$/, "");
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (const [each, octal, short] of told.replace(/^"|"\t?$/g, "").matchAll(/\\(?:([0-7]{3})|(.))|[^\\]+/g)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (short !== undefined) bytes.push(ESCAPES[short] ?? short.charCodeAt(0));
    else bytes.push(...encoder.encode(each));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

function pathOf(told: string): string | undefined {
  const name = nameOf(told);
  return name === "/dev/null" ? undefined : name.replace(/^[ab]\//, "");
}

/** Take the name out of `diff --git a/x b/x`, where no other line tells it: both halves are the same then. */
function nameInHead(line: string): string {
  const told = line.slice("diff --git ".length);
  if (told.startsWith('"')) return pathOf(told.slice(0, told.indexOf('" ') + 1)) ?? told;
  return told.slice(2, (told.length - 1) / 2);
}

function headerFact(line: string): string | undefined {
  if (/^(new file mode|deleted file mode|old mode|new mode|similarity index)/.test(line)) return line;
  const from = /^((?:rename|copy) from )(.*)$/.exec(line);
  if (from) return `${from[1]}${nameOf(from[2] ?? "")}`;
  return line.startsWith("GIT binary patch") || line.startsWith("Binary files") ? "binary" : undefined;
}

/** Read a patch of git's. What a line holds never decides what it is: hunks say how many lines they have. */
export function parsePatch(patch: string): DiffFile[] {
  const files: DiffFile[] = [];
  let file: DiffFile | undefined;
  let [oldLeft, newLeft, oldAt, newAt] = [0, 0, 0, 0];
  let header = false;
  for (const line of patch.split("\n")) {
    if (file && (oldLeft > 0 || newLeft > 0)) {
      const sign = line[0];
      const text = line.slice(1);
      if (sign === "+") {
        file.lines.push({ kind: "add", old: undefined, new: newAt++, text });
        file.added += 1;
        newLeft -= 1;
      } else if (sign === "-") {
        file.lines.push({ kind: "del", old: oldAt++, new: undefined, text });
        file.deleted += 1;
        oldLeft -= 1;
      } else if (sign === "\\") {
        file.lines.push({ kind: "note", old: undefined, new: undefined, text: line });
      } else {
        file.lines.push({ kind: "same", old: oldAt++, new: newAt++, text });
        oldLeft -= 1;
        newLeft -= 1;
      }
      continue;
    }
    if (line.startsWith("diff --git ")) {
      file = { name: nameInHead(line), facts: [], added: 0, deleted: 0, lines: [] };
      files.push(file);
      header = true;
      continue;
    }
    if (!file) continue;
    const hunk = HUNK.exec(line);
    if (hunk) {
      header = false;
      [oldAt, oldLeft, newAt, newLeft] = [Number(hunk[1]), Number(hunk[2] ?? 1), Number(hunk[3]), Number(hunk[4] ?? 1)];
      file.lines.push({ kind: "hunk", old: undefined, new: undefined, text: line });
    } else if (line.startsWith("\\")) {
      file.lines.push({ kind: "note", old: undefined, new: undefined, text: line });
    } else if (header) {
      const path = /^(?:\+\+\+|---) /.test(line) ? pathOf(line.slice(4)) : undefined;
      if (path !== undefined) file.name = path;
      const to = /^(?:rename|copy) to (.*)$/.exec(line);
      if (to) file.name = nameOf(to[1] ?? "");
      const fact = headerFact(line);
      if (fact) file.facts.push(fact);
      if (fact === "binary") header = false;
    }
  }
  return files;
}
