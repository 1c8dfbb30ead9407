"""Operations of a dialect: one file of GraphQL, each operation alone with its fragments."""

from __future__ import annotations

from pathlib import Path

from graphql import parse, print_ast, separate_operations


class Operations:
    """The operations of `operations.graphql` in a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self.text = (folder / "operations.graphql").read_text(encoding="utf-8")
        self._documents: dict[str, str] | None = None

    @property
    def documents(self) -> dict[str, str]:
        """The text of each operation with the fragments that it uses; parsed at the first use."""
        if self._documents is None:
            parts = separate_operations(parse(self.text))
            self._documents = {name: print_ast(part) for name, part in parts.items()}
        return self._documents
