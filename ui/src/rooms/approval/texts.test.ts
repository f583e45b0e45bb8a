import { expect, test } from "vitest";
import { countHidden, foreignLetters, pieces } from "../../parts/hidden";
import { readContext } from "./form";
import { readCommand, splitLine } from "./shell";

test.each([
  ["sh -c 'a b' \"c d\"", ["sh", "-c", "a b", "c d"]],
  ["a\\ b c", ["a b", "c"]],
  ["'' x\"y\"'z'", ["", "xyz"]],
  ['"a\\"b\\n\\\\" \'\\\'', ['a"b\\n\\', "\\"]],
  ["  a\t\n b ", ["a", "b"]],
  ["# no comment $HOME *", ["#", "no", "comment", "$HOME", "*"]],
])("%s is split as Python's shlex does", (line, words) => {
  expect(splitLine(line)).toEqual({ words });
});

test.each(["'open", '"open', "end\\"])("%s is refused", (line) => {
  expect(splitLine(line)).toHaveProperty("problem");
});

test("a command may be a list in JSON, and a half one is not taken for a line", () => {
  expect(readCommand('["sh", "-c", "a  b"]')).toEqual({ words: ["sh", "-c", "a  b"] });
  expect(readCommand('["sh", 1]')).toHaveProperty("problem");
  expect(readCommand('["sh"')).toHaveProperty("problem");
  expect(readCommand("[ -f x ]")).toEqual({ words: ["[", "-f", "x", "]"] });
});

test.each([
  ["\u202e", 1],
  ["\u200b\u200d\ufeff", 3],
  ["\r", 1],
  ["\u001b[31m", 1],
  ["\u{e0041}", 1],
  ["\u00a0", 1],
  ["\u2028", 1],
  ["\ue000", 1],
  ["\ud800", 1],
  ["\u3164", 1],
  ["\u2800", 1],
  ["😀\ufe0f\ufe0f", 1],
  ["plain\ttext\n", 0],
  ["שלום עולם", 0],
  ["👩‍👩‍👧 👍🏽 ❤️", 0],
  ["日本", 0],
])("%j holds %d characters that are not seen", (text, count) => {
  expect(countHidden(text)).toBe(count);
  expect(
    pieces(text)
      .filter((each) => !each.hidden)
      .map((each) => each.text)
      .join(""),
  ).not.toSatisfy((seen: string) => ["\u202e", "\u200b", "\u001b"].some((mark) => seen.includes(mark)));
});

test("letters that only look like ASCII are named", () => {
  expect(foreignLetters("rm -rf /\u0430 \u0430")).toEqual(["\u0430"]);
});

test("a context is an object as it is, and every other text under one name", () => {
  expect(readContext(' {"a": 1}')).toEqual({ a: 1 });
  expect(readContext("[1]")).toEqual({ text: "[1]" });
  expect(readContext("a note")).toEqual({ text: "a note" });
  expect(readContext("  ")).toBeUndefined();
});
