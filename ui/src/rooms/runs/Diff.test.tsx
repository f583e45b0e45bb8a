import "./runs.css";
import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { shown } from "../../testing";
import { Diff } from "./Diff";
import { nameOf, parsePatch } from "./patch";

const PATCH = `diff --git a/src/a.txt b/src/a.txt
index 1..2 100644
--- a/src/a.txt
+++ b/src/a.txt
@@ -1,3 +1,3 @@ head
 same
-diff --git a/no b/no
+@@ -9,9 +9,9 @@ <script>alert(1)</script>
 tail
\\ No newline at end of file
diff --git a/old.txt b/<img src=x>.txt
similarity index 90%
rename from old.txt
rename to <img src=x>.txt
diff --git a/tool.sh b/tool.sh
old mode 100644
new mode 100755
diff --git a/p.bin b/p.bin
index 1..2 100644
GIT binary patch
literal 5
Mc$}?-H4X

diff --git "a/gone \\303\\244.txt" "b/gone \\303\\244.txt"
deleted file mode 100644
--- "a/gone \\303\\244.txt"
+++ /dev/null
@@ -1 +0,0 @@
-bye
`;

test("a patch is read file by file, whatever its lines look like", () => {
  const files = parsePatch(PATCH);
  expect(files.map((file) => [file.name, file.added, file.deleted])).toEqual([
    ["src/a.txt", 1, 1],
    ["<img src=x>.txt", 0, 0],
    ["tool.sh", 0, 0],
    ["p.bin", 0, 0],
    ["gone ä.txt", 0, 1],
  ]);
  expect(files.map((file) => file.facts)).toEqual([
    [],
    ["similarity index 90%", "rename from old.txt"],
    ["old mode 100644", "new mode 100755"],
    ["binary"],
    ["deleted file mode 100644"],
  ]);
  const [first] = files;
  expect(first?.lines.map((line) => [line.kind, line.old, line.new])).toEqual([
    ["hunk", undefined, undefined],
    ["same", 1, 1],
    ["del", 2, undefined],
    ["add", undefined, 2],
    ["same", 3, 3],
    ["note", undefined, undefined],
  ]);
});

test("names are read as git writes them", () => {
  expect(nameOf('"a\\tb\\"c\\\\\\342\\202\\254"')).toBe('a\tb"c\\€');
  expect(nameOf("plain name")).toBe("plain name");
});

test("files fold, and nothing in them is more than text", async () => {
  const { container } = shown(<Diff patch={PATCH} />);
  expect(await screen.findByText("@@ -9,9 +9,9 @@ <script>alert(1)</script>")).toBeTruthy();
  expect(screen.getByText("<img src=x>.txt")).toBeTruthy();
  expect(container.querySelector("img, script")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: /src\/a.txt/ }));
  expect(screen.queryByText("@@ -9,9 +9,9 @@ <script>alert(1)</script>")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Unfold all" }));
  expect(screen.getByText("@@ -9,9 +9,9 @@ <script>alert(1)</script>")).toBeTruthy();
});

test("fifty thousand lines begin folded, and open onto few rows", async () => {
  const lines = Array.from({ length: 50_000 }, (_, place) => `+row ${place}`).join("\n");
  const big = `diff --git a/big b/big\nnew file mode 100644\n--- /dev/null\n+++ b/big\n@@ -0,0 +1,50000 @@\n${lines}\n`;
  const { container } = shown(<Diff patch={big} />);
  const head = await screen.findByRole("button", { name: /big/ });
  expect(head.textContent).toContain("+50000");
  expect(container.querySelectorAll(".runs-diffrow").length).toBe(1);
  const began = performance.now();
  await userEvent.click(head);
  expect(await screen.findByText("row 0")).toBeTruthy();
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(container.querySelectorAll(".runs-diffrow").length).toBeLessThan(200);
});
