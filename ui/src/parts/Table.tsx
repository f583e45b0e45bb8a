import type { ReactNode } from "react";

export function Heads({ of: names }: { of: readonly string[] }) {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
      </tr>
    </thead>
  );
}

interface Props {
  label: string;
  heads: readonly string[];
  className?: string;
  children: ReactNode;
}

/** A table that scrolls by itself where the page is too narrow for it; its rows are the children. */
export function Table({ label, heads, className, children }: Props) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={label}>
      <table className={className}>
        <Heads of={heads} />
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
