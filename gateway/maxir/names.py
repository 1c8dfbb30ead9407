"""Names of files: which extensions there are, and how long names may be."""

from __future__ import annotations

from pathlib import PurePosixPath

from gateway.failures import Failure
from gateway.maxir.failures import EXTENSION

CHARS_MAX = 128
EXTENSIONS = (
    ".csv",
    ".tsv",
    ".md",
    ".mdx",
    ".json",
    ".txt",
    ".pdf",
    ".pptx",
    ".ppt",
    ".doc",
    ".docx",
    ".xls",
    ".xlsx",
)


def checked(name: str) -> str:
    """The name of a file, if it has one of the extensions; raises Failure."""
    name = name.strip()
    if PurePosixPath(name).suffix.lower() not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        message = f"invalid file extension: {name[:CHARS_MAX]!r}"
        raise Failure(EXTENSION, message, hint=f"Name it with one of {known}.")
    return name


def cut(name: str) -> str:
    """A name of at most `CHARS_MAX` characters, which keeps the extension if it has one of them."""
    name = name.strip()
    suffix = PurePosixPath(name).suffix
    end = suffix if suffix.lower() in EXTENSIONS else ""
    return name if len(name) <= CHARS_MAX else name[: CHARS_MAX - len(end)] + end
