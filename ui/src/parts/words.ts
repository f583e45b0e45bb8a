/** Write an argument list as one would type it in a shell. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

export function isWords(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string");
}

/** Show any value of the server's as text. */
export function asText(value: unknown): string {
  if (value === null || value === undefined) return "—";
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? String(value) : JSON.stringify(value, null, 2);
}

/** Write a limit for a person: `1 h`, `10 MiB`; what has no such unit stays as it is. */
export function bound(value: unknown, unit: string): string {
  if (typeof value !== "number") return asText(value);
  const sizes: Readonly<Record<string, readonly [number, string][]>> = {
    bytes: [
      [2 ** 30, "GiB"],
      [2 ** 20, "MiB"],
      [2 ** 10, "KiB"],
    ],
    seconds: [
      [3_600, "h"],
      [60, "min"],
    ],
  };
  if (unit === "microusd") return dollars(value);
  if (unit === "tokens") return counted(value, "token");
  const fits = sizes[unit]?.find(([size]) => value >= size && value % size === 0);
  return fits ? `${value / fits[0]} ${fits[1]}` : `${value} ${unit}`;
}

/** Write millionths of a US dollar: `2.50 USD`; as many places as it takes to be exact. */
export function dollars(microusd: number): string {
  const places = [2, 4, 6].find((count) => microusd % 10 ** (6 - count) === 0) ?? 6;
  return `${(microusd / 1_000_000).toFixed(places)} USD`;
}

export function shortDigest(digest: string): string {
  const [, hex = digest] = digest.split(":");
  return hex.slice(0, 12);
}

export function span(ms: number | null): string {
  if (ms === null) return "";
  if (ms < 1_000) return `${ms} ms`;
  return ms < 60_000
    ? `${(ms / 1_000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** Write a name of the server's in words: `wall_clock` is `wall clock`. */
export function plain(word: string): string {
  return word.replaceAll("_", " ");
}

/** Write a number as it is read: `12,000`; a dash where there is none. */
export function number(value: number | null | undefined): string {
  return value?.toLocaleString("en") ?? "—";
}

/** `1 line`, `12,000 lines`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** Write about how large a file is. */
export function size(bytes: number): string {
  if (bytes < 2 ** 10) return counted(bytes, "byte");
  return bytes < 2 ** 20 ? `${Math.round(bytes / 2 ** 10)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
