export interface Piece {
  text: string;
  hit: boolean;
}

/** Cut a text at what was looked for; letters of ASCII in either case, as the server looks. */
export function pieces(text: string, wanted: string): Piece[] {
  const low = (each: string) => each.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const [where, what] = [low(text), low(wanted)];
  const found: Piece[] = [];
  let from = 0;
  for (let at = what ? where.indexOf(what) : -1; at >= 0; at = where.indexOf(what, from)) {
    if (at > from) found.push({ text: text.slice(from, at), hit: false });
    from = at + what.length;
    found.push({ text: text.slice(at, from), hit: true });
  }
  if (from < text.length) found.push({ text: text.slice(from), hit: false });
  return found;
}
