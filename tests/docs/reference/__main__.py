"""Writes the pages that are made from the code, and takes away those that nothing makes any more."""

from __future__ import annotations

from tests.docs.reference import DOCS, subjects

if __name__ == "__main__":
    made = {DOCS / name: text for pages in subjects().values() for name, text in pages().items()}
    for gone in set((DOCS / "reference").rglob("*.md")) - made.keys():
        gone.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
