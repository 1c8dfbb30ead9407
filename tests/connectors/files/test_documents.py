"""Documents: a row for each part, the text as it is, and a clear word where there is none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import docx
import fpdf
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

import connectors
from base.errors import PayloadTooLarge, PlatformError
from base.tables import ColumnType
from connectors.connector import ReadLimits, Selection
from connectors.errors import FileInvalid, TableMissing
from connectors.files import compound, extracted, parts
from tests.connectors.files.containers import Shown, container, presentation
from tests.connectors.files.reading import connection, read, write

Rows = list[tuple[int, int | None, str]]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("one", ["one"]),
        ("one\ntwo\n\nthree\n", ["one\ntwo", "three"]),
        ("one\r\n\r\ntwo\r\nthree\r\n", ["one", "two\nthree"]),
        ("one\r\rtwo\r", ["one", "two"]),
        ("\n\n  indented\n  more  \n \t\n\n\nnext", ["  indented\n  more", "next"]),
        ("<html> & <!doctype html>", ["<html> & <!doctype html>"]),
        ("\ufeffé 漢字 😀", ["é 漢字 😀"]),
        ("é\n\n漢字".encode("utf-16"), ["é", "漢字"]),
        ("é\n\n漢字".encode("utf-32"), ["é", "漢字"]),
    ],
)
def test_a_text_is_parted_at_blank_lines(
    tmp_path: Path, content: str | bytes, texts: list[str]
) -> None:
    table = read(write(tmp_path / "note.txt", content))

    assert table.rows == [(number, None, text) for number, text in enumerate(texts, 1)]
    assert table.schema.name == "note"
    assert table.names == ["part", "page", "text"]
    assert table.types == [ColumnType.INTEGER, ColumnType.INTEGER, ColumnType.TEXT]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("latin-1", b"caf\xe9"), ("cp1252", b"\x80 5"), ("utf-16-le", "é".encode("utf-16-le")), ("shift_jis", "漢字".encode("shift_jis"))],
)  # fmt: skip
def test_the_encoding_of_a_text_is_what_the_user_says(
    tmp_path: Path, encoding: str, content: bytes
) -> None:
    path = write(tmp_path / "t.txt", content)

    assert read(path, encoding=encoding).rows == [(1, None, content.decode(encoding))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty (0 bytes)"]),
        (b"\xef\xbb\xbf", ["empty"]),
        (b" \n\t\n ", ["TXT file holds no text"]),
        (b"one\n\ncaf\xe9\n", ["line 3", "0xE9", "byte 8", "encoding"]),
        (b"one\ntwo\0", ["NUL byte in line 2"]),
        (b"%PDF-1.4", ["named like TXT", "PDF"]),
        (b"PK\x03\x04", ["named like TXT", "ZIP"]),
        (b"\xd0\xcf\x11\xe0", ["named like TXT", "old Office"]),
        (b"{\\rtf1}", ["named like TXT", "RTF"]),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, words: list[str]) -> None:
    with pytest.raises(FileInvalid) as refused:
        read(write(tmp_path / "t.txt", content))

    assert [word for word in words if word not in refused.value.message] == []


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("intro\n\n# One\ntext\n\nmore\n## Two\nx", ["intro", "# One\ntext\n\nmore", "## Two\nx"]),
        ("One\n===\ntext\n\nTwo\nlines\n---\nx", ["One\n===\ntext", "Two\nlines\n---\nx"]),
        ("One\n===\nTwo\n---\nx\n---\n---", ["One\n===", "Two\n---", "x\n---\n---"]),
        ("# One\nTwo\n---\n```\nx\n```\nThree\n===", ["# One", "Two\n---\n```\nx\n```", "Three\n==="]),
        ("a\n\n---\n\nb", ["a\n\n---\n\nb"]),
        ("- item\n---\nb", ["- item\n---\nb"]),
        ("# A\n```sh\n# no heading\n```\n# B", ["# A\n```sh\n# no heading\n```", "# B"]),
        ("# A\n~~~~\n# no\n~~~\n# no\n~~~~\n#B\n# C", ["# A\n~~~~\n# no\n~~~\n# no\n~~~~\n#B", "# C"]),
        ('import X from "x"\n\n# T {1 + 1}\n<X a={1}/>', ['import X from "x"', "# T {1 + 1}\n<X a={1}/>"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["| a | b |\n|---|---|\n| 1 | 2 |"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["md", "mdx"])
def test_markdown_is_parted_at_headings(
    tmp_path: Path, suffix: str, content: str, texts: list[str]
) -> None:
    table = read(write(tmp_path / f"t.{suffix}", content))

    assert table.rows == [(number, None, text) for number, text in enumerate(texts, 1)]


def test_front_matter_is_told_and_is_no_part(tmp_path: Path) -> None:
    front = 'title: "The: title"\nauthor: Ada\ntags: [a, b]\nlang: en'
    table = read(write(tmp_path / "t.md", f"---\n{front}\n---\n# Head\ntext\n"))

    assert table.rows == [(1, None, "# Head\ntext")]
    assert table.schema.details == {
        "title": "The: title",
        "author": "Ada",
        "language": "en",
        "front_matter": front,
    }


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("x\n# Head #\n", "Head"),
        ("# C#\n", "C#"),
        ("# #\n", None),
        ("---\ntitle: 'tis\n---\nx", "'tis"),
        ("---\ntitle: 'it is'  \n---\nx", "it is"),
        ("---\ntitle:  |\n  a\n---\nx", None),
        ("# a" + " " * 60_000 + "b\n", "a" + " " * 1_999),
        ("---\ntitle: a" + " " * 60_000 + "b\n---\nx", "a" + " " * 1_999),
    ],
)
def test_a_title_is_what_a_reader_would_see(tmp_path: Path, head: str, title: str | None) -> None:
    assert read(write(tmp_path / "t.md", head)).schema.details.get("title") == title


def test_underlines_without_end_are_looked_at_once(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "t.md", "a\n" + "---\n" * 200_000)).rows

    assert sum(text.count("---") for _, _, text in rows) == 200_000


def test_long_parts_are_cut_where_a_reader_would(tmp_path: Path) -> None:
    sentence = "Ten words make a sentence that is long enough here. "
    path = write(tmp_path / "t.txt", sentence * 1_000 + "\n\n" + "x" * 25_000 + "\n\nend")

    rows = read(path).rows

    texts = [text for _, _, text in rows]
    assert max(map(len, texts)) <= parts.PART_CHARS_MAX
    assert [len(text) for text in texts[-4:]] == [10_000, 10_000, 5_000, 3]
    assert all(text.endswith("here.") for text in texts[:-4])
    assert " ".join(texts[:-4]) == (sentence * 1_000).strip()


def test_a_line_without_end_is_cut_between_characters(tmp_path: Path) -> None:
    text = "漢é😀" * 800_000  # 7.2 MB

    rows = read(write(tmp_path / "t.txt", text)).rows

    assert "".join(part for _, _, part in rows) == text


def test_a_large_text_is_estimated_and_told_as_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", ("x" * 98 + "\n\n") * 100_000)

    (table,) = connectors.tables(connection(path))
    batches = read(path, limits=ReadLimits(batch_rows=10_000)).batches

    assert table.row_estimate is not None
    assert abs(table.row_estimate - 100_000) < 1_000
    assert sum(batch.data.num_rows for batch in batches) == 100_000
    told = [batch.bytes_read for batch in batches]
    assert told == sorted(told)
    assert (len(set(told)) > 3, told[-1]) == (True, path.stat().st_size)


def _pdf(path: Path, *pages: str, **encryption: str) -> Path:
    made = fpdf.FPDF()
    made.set_title("Report")
    made.set_author("Ada")
    made.set_font("helvetica", size=12)
    for page in pages:
        made.add_page()
        made.multi_cell(0, text=page)
    if encryption:
        made.set_encryption(owner_password="owner", **encryption)  # type: ignore[arg-type]
    made.output(str(path))
    return path


def test_a_pdf_is_parted_by_pages(tmp_path: Path) -> None:
    path = _pdf(tmp_path / "a.pdf", 'A & B <b> "q" é', "", "Head\nHead\nhyphen-\nated")

    table = read(path)

    assert table.rows == [(1, 1, 'A & B <b> "q" é'), (2, 3, "Head\nHead\nhyphen-\nated")]
    details = table.schema.details
    assert (details["title"], details["author"], details["page_count"]) == ("Report", "Ada", 3)
    assert connectors.check(connection(path)).message == (
        "PDF document 'Report', a row for each of its pages."
    )


def test_a_pdf_without_text_says_that_pictures_are_not_read(tmp_path: Path) -> None:
    path = _pdf(tmp_path / "a.pdf", "", "")

    for look in (connectors.check, connectors.tables):
        with pytest.raises(FileInvalid, match=r"^None of the 2 pages of the PDF file holds text"):
            look(connection(path))


def test_a_pdf_with_a_password_is_refused_and_one_that_opens_without_is_read(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileInvalid, match=r"^The PDF file is encrypted\.$"):
        read(_pdf(tmp_path / "a.pdf", "secret", user_password="user"))
    assert read(_pdf(tmp_path / "b.pdf", "open", user_password="")).rows == [(1, 1, "open")]


def test_a_library_is_unpacked_where_nobody_else_writes_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _pdf(tmp_path / "a.pdf", "text")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()

    assert read(path).rows == [(1, 1, "text")]
    assert list((tmp_path / "tmp").iterdir()) == []


def _docx(path: Path, fill: Callable[[Any], None]) -> Path:
    made = docx.Document()
    made.core_properties.title = "Plan"
    made.core_properties.author = "Ada"
    fill(made)
    made.save(str(path))
    return path


def test_a_docx_is_parted_by_headings_with_every_character(tmp_path: Path) -> None:
    def fill(made: Any) -> None:
        made.sections[0].header.paragraphs[0].text = "Letterhead"
        made.add_paragraph("Before  <b> & \ttab\nline")
        made.add_heading("One", 1)
        text = made.add_paragraph("kept ")
        for xml in (
            '<w:ins {} w:id="1" w:author="x"><w:r><w:t>inserted </w:t></w:r></w:ins>',
            '<w:del {} w:id="2" w:author="x"><w:r><w:delText>deleted</w:delText></w:r></w:del>',
            '<w:moveFrom {} w:id="3" w:author="x"><w:r><w:t>moved</w:t></w:r></w:moveFrom>',
            '<w:hyperlink {} w:anchor="q"><w:r><w:t>link</w:t></w:r></w:hyperlink>',
        ):
            text._p.append(parse_xml(xml.format(nsdecls("w"))))
        table = made.add_table(2, 2)
        for row, column, cell in ((0, 0, "a"), (0, 1, "b\nc"), (1, 1, "漢字")):
            table.cell(row, column).text = cell
        made.add_heading("Two", 2)
        made.add_paragraph("item", style="List Bullet")

    table = read(_docx(tmp_path / "plan.docx", fill))

    assert table.rows == [
        (1, None, "Before  <b> & \ttab\nline"),
        (2, None, "One\n\nkept inserted link\n\na\tb c\n\t漢字"),
        (3, None, "Two\n\nitem"),
        (4, None, "Letterhead"),
    ]
    assert (table.schema.details["title"], table.schema.details["author"]) == ("Plan", "Ada")


def test_a_text_box_of_a_docx_is_read_once(tmp_path: Path) -> None:
    box = (
        '<w:r {} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><mc:AlternateContent>'
        "<mc:Choice Requires='wps'><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></mc:Choice>"
        "<mc:Fallback><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )

    def fill(made: Any) -> None:
        made.add_paragraph("around")._p.append(parse_xml(box.format(nsdecls("w"))))

    assert read(_docx(tmp_path / "a.docx", fill)).rows == [(1, None, "box\n\naround")]


def _deck(path: Path) -> Path:
    """Three slides in another order than their parts; the second of the show has no notes, the fourth no text."""
    made = pptx.Presentation()
    for name in ("second", "first", "third"):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = name
        slide.placeholders[1].text = "A & B\nline"
        if name != "second":
            slide.notes_slide.notes_text_frame.text = f"note of {name}"
    made.slides.add_slide(made.slide_layouts[6])
    order = made.slides._sldIdLst
    order.insert(0, order[1])
    made.core_properties.title = "Deck"
    made.save(str(path))
    return path


def test_a_presentation_is_parted_by_slides_in_the_order_of_the_show(tmp_path: Path) -> None:
    table = read(_deck(tmp_path / "a.pptx"))

    assert table.rows == [
        (1, 1, "first\nA & B\nline\n\nNotes:\nnote of first"),
        (2, 2, "second\nA & B\nline"),
        (3, 3, "third\nA & B\nline\n\nNotes:\nnote of third"),
    ]
    assert (table.schema.details["title"], table.schema.details["slide_count"]) == ("Deck", 4)


def test_parts_are_read_on_behind_any_batch_and_columns_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "t.md", "".join(f"# {number}\n" for number in range(7)))
    limits = ReadLimits(batch_rows=3)

    whole = read(path, limits=limits)

    assert [batch.position for batch in whole.batches] == [[3], [6], [7]]
    assert read(path, limits=limits, after=[3]).rows == whole.rows[3:]
    assert read(path, None, "text", "part", limits=limits).rows[0] == ("# 0", 1)
    with pytest.raises(TableMissing, match="'words'"):
        read(path, None, "words")
    with (
        closing(connectors.open(connection(path))) as source,
        pytest.raises(TableMissing, match="'other'"),
    ):
        source.read(Selection("other"))


def _office(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in names:
            made.writestr(name, "<x/>")
    return buffer.getvalue()


CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0")


def _container(name: str) -> bytes:
    return CONTAINER + name.encode("utf-16-le").ljust(512, b"\0")


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        *[(suffix, b"", "The file is empty (0 bytes).") for suffix in ("md", "pdf", "docx", "doc", "pptx", "ppt")],
        ("pdf", b"plain text", "The file is named like PDF, but is none."),
        ("pdf", _office("x"), "The file is named like PDF, but looks like a ZIP archive"),
        ("pdf", b"%PDF-1.7\nnothing", "The PDF file cannot be read: "),
        ("docx", b"plain text", "The file is named like DOCX, but looks like a text file."),
        ("docx", _office("xl/workbook.xml"), "The file is named like DOCX, but looks like a workbook (XLSX)."),
        ("docx", _office("ppt/presentation.xml"), "The file is named like DOCX, but looks like a presentation (PPTX)."),
        ("docx", _office("word/document.xml"), "The DOCX file holds no text."),
        ("docx", _container("EncryptedPackage"), "The DOCX file is encrypted."),
        ("docx", _container("WordDocument"), "The file is named like DOCX, but looks like a text document (DOC)."),
        ("pptx", _office("word/document.xml"), "The file is named like PPTX, but looks like a text document (DOCX)."),
        ("pptx", _office("ppt/presentation.xml"), "The PPTX file holds no text."),
        ("pptx", _container("EncryptedPackage"), "The PPTX file is encrypted."),
        ("doc", _office("word/document.xml"), "The file is named like DOC, but looks like a ZIP archive"),
        ("doc", _container("PowerPoint Document"), "The file is named like DOC, but looks like a presentation (PPT)."),
        ("doc", _container("WordDocument"), "The DOC file cannot be read: "),
        ("doc", b"plain text", "The file is named like DOC, but looks like a text file."),
        ("ppt", _container("Workbook"), "The file is named like PPT, but looks like a workbook (XLS)."),
        ("ppt", CONTAINER, "The file is named like PPT, but looks like an old Office document of another kind."),
        ("xls", _container("WordDocument"), "The file is named like XLS, but looks like a text document (DOC)."),
    ],
)  # fmt: skip
def test_a_document_of_another_kind_is_refused(
    tmp_path: Path, suffix: str, content: bytes, message: str
) -> None:
    with pytest.raises(FileInvalid) as refused:
        read(write(tmp_path / f"a.{suffix}", content))

    assert refused.value.message.startswith(message)
    assert str(tmp_path) not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    "part",
    ["word/document.xml", "word/styles.xml", "docProps/core.xml", "word/_rels/document.xml.rels"],
)
@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><x>&c;</x>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    ],
)  # fmt: skip
def test_document_types_are_refused_in_every_part(tmp_path: Path, part: str, xml: str) -> None:
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as made:
        for name in {"word/document.xml", part}:
            made.writestr(name, xml if name == part else "<x/>")

    with pytest.raises(FileInvalid, match="has a document type") as refused:
        read(path)
    assert repr(part) in refused.value.message


def test_a_bomb_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.pptx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("ppt/presentation.xml", "<x>" + " " * 20 * 1024**2 + "</x>")

    with pytest.raises(FileInvalid, match=r"^The PPTX file unpacks to [\d,]+ times its size"):
        read(path)


def test_an_archive_inside_a_document_is_not_opened(tmp_path: Path) -> None:
    path = _docx(tmp_path / "a.docx", lambda made: made.add_paragraph("text"))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros", bytes(64 * 1024**2))
    with zipfile.ZipFile(path, "a") as outer:
        outer.writestr("word/embeddings/bomb.zip", inner.getvalue())

    assert read(path).rows == [(1, None, "text")]


def test_a_large_document_is_refused_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extracted, "DOCUMENT_BYTES_MAX", 100)

    with pytest.raises(PayloadTooLarge, match=r"bytes; the limit is 100\.$"):
        read(_pdf(tmp_path / "a.pdf", "text"))


def test_the_part_that_holds_a_docx_is_found_by_its_relationship(tmp_path: Path) -> None:
    whole = _docx(tmp_path / "whole.docx", lambda made: made.add_heading("Head", 1))
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b'"word/document.xml"', b'"word/document2.xml"')
            new.writestr(name.replace("word/document.xml", "word/document2.xml"), content)

    assert read(path).rows == [(1, None, "Head")]


def test_a_missing_slide_is_told(tmp_path: Path) -> None:
    whole = _deck(tmp_path / "whole.pptx")
    path = tmp_path / "a.pptx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if name != "ppt/slides/slide2.xml":
                new.writestr(name, old.read(name))

    with pytest.raises(PlatformError, match="a slide is missing"):
        read(path)


def test_an_old_presentation_is_parted_by_slides_in_the_order_of_the_show(tmp_path: Path) -> None:
    show = [
        Shown("first", "A & B\rline\vmore", "note of first"),
        Shown("zweite ü 漢字", "x"),
        Shown("third", "", "note of third"),
    ]

    table = read(write(tmp_path / "a.ppt", presentation(show)))

    assert table.rows == [
        (1, 1, "first\nA & B\nline\nmore\n\nNotes:\nnote of first"),
        (2, 2, "zweite ü 漢字\nx"),
        (3, 3, "third\n\nNotes:\nnote of third"),
    ]
    assert table.schema.details == {"slide_count": 3}


def test_an_old_presentation_whose_slides_cannot_be_told_apart_is_paragraphs(
    tmp_path: Path,
) -> None:
    whole = presentation([Shown("first", "text")])
    at = whole.index(b"\x72\x17")  # the type of the directory of objects
    cut = whole[:at] + b"\0\0" + whole[at + 2 :]
    path = write(tmp_path / "a.ppt", cut.replace(b"\xf5\x0f", b"\0\0"))

    assert [(part, page) for part, page, _ in read(path).rows] == [(1, None), (2, None)]


def test_a_stream_that_leads_round_in_a_circle_is_refused(tmp_path: Path) -> None:
    whole = bytearray(container({"WordDocument": b"\xec\xa5".ljust(8192, b"x")}))
    whole[512 + 4 * 3 : 512 + 4 * 4] = (2).to_bytes(4, "little")  # sector 3 is followed by 2

    with pytest.raises(FileInvalid, match="damaged or cut off"):
        compound.Container(bytes(whole)).stream("WordDocument")
    with pytest.raises(FileInvalid, match=r"^The DOC file cannot be read"):
        read(write(tmp_path / "a.doc", bytes(whole)))
