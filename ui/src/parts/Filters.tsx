import { Link } from "wouter";

interface Props {
  label: string;
  base: string;
  words: readonly string[];
  chosen: string;
}

/** Filters that are links: each can be sent to somebody. The first is the default and needs no word in the address. */
export function Filters({ label, base, words, chosen }: Props) {
  return (
    <nav className="filters" aria-label={label}>
      {words.map((word, place) => (
        <Link
          key={word}
          href={place === 0 ? base : `${base}?status=${encodeURIComponent(word)}`}
          aria-current={word === chosen ? "page" : undefined}
        >
          {word}
        </Link>
      ))}
    </nav>
  );
}

/** Take the word of an address, or the first where it has none that is known. */
export function chosenOf<Word extends string>(words: readonly [Word, ...Word[]], search: string): Word {
  const asked = new URLSearchParams(search).get("status");
  return words.find((word) => word === asked) ?? words[0];
}
