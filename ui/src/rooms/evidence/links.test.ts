import { expect, test } from "vitest";
import { asked, link } from "./links";

test("an address is read and written, and what is none is left out", () => {
  expect(asked("kind=draft&before=7&outcome=maybe&evil=1&text=")).toEqual({ kind: "draft", before: 7 });
  expect(asked("before=-1&outcome=denied")).toEqual({ outcome: "denied" });
  expect(link("/audit", { kind: "draft", before: 7 }, { text: "a&b" })).toBe("/audit?kind=draft&text=a%26b");
  expect(link("/audit", {}, {})).toBe("/audit");
});
