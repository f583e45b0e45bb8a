export type Split = { words: string[] } | { problem: string };

/** Split a line as the server does (POSIX rules, no shell): quotes and backslashes, no variables, no globs. */
export function splitLine(line: string): Split {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const letter = line.charAt(at);
    if (quote) {
      if (letter === quote) quote = "";
      else if (letter === "\\" && quote === '"' && ['"', "\\"].includes(line.charAt(at + 1))) word += line.charAt(++at);
      else word += letter;
    } else if (letter === "\\") {
      at += 1;
      if (at === line.length) return { problem: "There is nothing behind the last backslash." };
      word = (word ?? "") + line.charAt(at);
    } else if (letter === "'" || letter === '"') {
      quote = letter;
      word ??= "";
    } else if (" \t\r\n".includes(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + letter;
  }
  if (quote) return { problem: `A quotation (${quote}) is not closed.` };
  if (word !== undefined) words.push(word);
  return { words };
}

function isListOfTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string");
}

/** Read a command: a JSON list of texts as it stands, everything else as a line. */
export function readCommand(text: string): Split {
  if (!/^\s*\[/.test(text)) return splitLine(text);
  try {
    const value: unknown = JSON.parse(text);
    if (isListOfTexts(value)) return { words: value };
  } catch {
    // said below
  }
  return /^\s*\[\s*["\]]/.test(text)
    ? { problem: 'A list is written as JSON: ["sh", "-c", "make test"].' }
    : splitLine(text);
}
