/**
 * What a reader would not see, or what turns the order of what is seen: control and format characters, marks of
 * direction, joints of no width, spaces that are not the space, lines that end in another way, code points of nobody.
 * An emoji may be joined as emojis are; everything else of that kind is written out.
 */
const EMOJI = "\\p{Extended_Pictographic}\\p{Emoji_Modifier}?\\u{FE0F}?";
const HIDDEN =
  "(?![\\n\\t ])[\\p{Cc}\\p{Cf}\\p{Zs}\\p{Zl}\\p{Zp}\\p{Co}\\p{Cn}\\p{Cs}\\p{Default_Ignorable_Code_Point}\\u{2800}]";
const SEARCH = new RegExp(`(${EMOJI}(?:\\u{200D}${EMOJI})*)|(${HIDDEN})`, "gu");

export interface Piece {
  text: string;
  /** Whether `text` is the name of a character that could not be seen. */
  hidden: boolean;
}

export function nameOf(mark: string): string {
  return `U+${(mark.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Cut a text into what can be seen and the names of what can not. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const { 2: mark, index } of text.matchAll(SEARCH)) {
    if (mark === undefined) continue;
    if (index > from) found.push({ text: text.slice(from, index), hidden: false });
    found.push({ text: nameOf(mark), hidden: true });
    from = index + mark.length;
  }
  if (from < text.length) found.push({ text: text.slice(from), hidden: false });
  return found;
}

export function countHidden(text: string): number {
  return pieces(text).filter((each) => each.hidden).length;
}

/** Letters that only look as those of a command would: what is neither ASCII nor hidden. */
export function foreignLetters(text: string): string[] {
  return [...new Set(text.match(/[^\p{ASCII}]/gu) ?? [])].filter((each) => countHidden(each) === 0);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences that colour a terminal begin and end with them
const COLOURS = /\u001b\[[0-9;:?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g;

/** Write out what would not be seen, or would turn the order of what is: control characters, marks of direction. */
export function visible(text: string): string {
  return pieces(text.replace(COLOURS, ""))
    .map((piece) => (piece.hidden ? `<${piece.text}>` : piece.text))
    .join("");
}
