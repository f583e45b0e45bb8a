/** The items of a list in which nothing moves, or that only grows at its end: each with its place as its key. */
export function keyed<Item>(list: readonly Item[]): { key: number; item: Item }[] {
  return list.map((item, key) => ({ key, item }));
}
