import { useId } from "react";

interface Props<Word extends string> {
  label: string;
  words: readonly (readonly [word: Word, name: string])[];
  chosen: Word;
  onChoose: (word: Word) => void;
}

/** One out of a few. */
export function Choice<Word extends string>({ label, words, chosen, onChoose }: Props<Word>) {
  const field = useId();
  return (
    <div className="access-field">
      <label htmlFor={field}>{label}</label>
      <select
        id={field}
        value={chosen}
        onChange={(event) => {
          const found = words.find(([word]) => word === event.target.value);
          if (found) onChoose(found[0]);
        }}
      >
        {words.map(([word, name]) => (
          <option key={word} value={word}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
