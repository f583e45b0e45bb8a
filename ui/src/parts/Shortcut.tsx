/** The key of a verb beside its name; who hears the page is told it by the button's `aria-keyshortcuts`. */
export function Shortcut({ of: key }: { of: string }) {
  // biome-ignore lint/a11y/noAriaHiddenOnFocusable: a kbd takes no focus
  return <kbd aria-hidden="true">{key}</kbd>;
}
