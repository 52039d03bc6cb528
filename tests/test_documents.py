"""Files as found in practice: any encoding, nested folders, page numbers, hyphenated words, and some that are not text."""

from __future__ import annotations

import codecs
import logging

import pytest

from data_processor.documents import clean, read_documents, read_text
from utils import InputError

ENGLISH = "The bridge at Hexley was opened on 3 May 1990. It cost 4 million dollars.\n"
FRENCH = "Le pont d\u2019H\u00e9xley a \u00e9t\u00e9 inaugur\u00e9 le 3 mai 1990 ; sa r\u00e9paration co\u00fbta tr\u00e8s cher \u00e0 la commune.\n"
PORTUGUESE = "A ponte de Héxley foi aberta em 3 de maio de 1990; a construção não foi cara e a população ficou feliz.\n"
RUSSIAN = "Мост в Хексли был открыт 3 мая 1990 года и стоил четыре миллиона.\n"
CHINESE = "\u6d77\u514b\u65af\u5229\u5927\u6865\u4e8e1990\u5e745\u67083\u65e5\u901a\u8f66\uff0c\u5efa\u9020\u8d39\u7528\u4e3a\u56db\u767e\u4e07\u5143\u3002\u8bbe\u8ba1\u5e08\u662f\u5f20\u4f1f\u3002\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ENGLISH, "ascii"),
        (FRENCH, "utf-8"),
        (CHINESE, "utf-8"),
        (CHINESE, "utf-8-sig"),
        (CHINESE, "utf-16"),
        (FRENCH, "utf-32"),
        (CHINESE, "gbk"),
        (CHINESE * 20, "gb18030"),
        (FRENCH.replace("\u2019", "'"), "latin-1"),
        (FRENCH, "cp1252"),
        (PORTUGUESE, "cp1252"),  # not cp1250, although that fits too
        (RUSSIAN, "cp1251"),
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "a.txt") == text


def test_a_guessed_encoding_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("cp1252"))
    read_documents(tmp_path)
    assert [(record.levelname, record.message) for record in caplog.records] == [("INFO", "a.txt: read as cp1252")]
    caplog.clear()
    (tmp_path / "a.txt").write_bytes(FRENCH.encode() + b"caf\xe9 ferm\xe9\n")
    read_documents(tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "what was repaired should be looked at"


def test_folders_are_read_to_the_bottom_in_natural_order(tmp_path):
    for name in ("10.txt", "9.txt", "b/2.md", "b/10.txt", "b/c/1.TXT", "picture.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ENGLISH)
    names = [document.file_name for document in read_documents(tmp_path)]
    assert names == ["9.txt", "10.txt", "b/2.md", "b/10.txt", "b/c/1.TXT"]


def test_files_without_text_are_named_and_left_out(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "good.txt").write_text(ENGLISH)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    assert [document.file_name for document in read_documents(tmp_path)] == ["good.txt"]
    assert caplog.messages == [
        "left out: binary.txt (no text, or in no known encoding: save it as UTF-8)",
        "left out: empty.txt (an empty file)",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"A text\x00 with a NUL in it, and all of it UTF-8.\n",
        "海克\x00斯利大桥\n".encode(),
        b"caf\xe9 with a NUL\x00 and a byte of Latin-1\n",
        FRENCH.encode("cp1252") * 5 + b"\x00",  # an encoding would fit
    ],
)
def test_a_file_with_a_nul_is_not_text(tmp_path, caplog, content):
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "good.txt").write_text(ENGLISH)
    assert read_text(tmp_path / "a.txt") is None
    assert [document.file_name for document in read_documents(tmp_path)] == ["good.txt"]
    assert "left out: a.txt (no text, or in no known encoding: save it as UTF-8)" in caplog.text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
     (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")],
)  # fmt: skip
def test_a_byte_order_mark_gives_the_encoding_and_is_not_text(tmp_path, mark, encoding):
    (tmp_path / "a.txt").write_bytes(mark + "Hé 海".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "Hé 海"


def test_bytes_that_do_not_fit_their_mark_are_not_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"caf\xe9")
    assert read_text(tmp_path / "a.txt") is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\n12\nb", "a\n12\nb"),  # tests/test_pages.py has when such a number is a page's
        ("a\n 12 of them\nb", "a\n 12 of them\nb"),
        ("a\nPage 12 of 90\nb", "a\nb"),
        ("a\nS. 7\nb", "a\nb"),
        ("a\n– 7 –\nb", "a\nb"),
        ("a\n第 7 页", "a\n"),
        ("a\nPages 7\nb", "a\nPages 7\nb"),
        ("a\nHR-014 v3.2          Page 3 of 3\nb", "a\nb"),
        ("a\nStadt Lahr\tSeite 2 von 9\nb", "a\nb"),
        ("a\nSee Page 3 of 4\nb", "a\nSee Page 3 of 4\nb"),
        ("a\nIt is   on Page 3 of 4 there\nb", "a\nIt is   on Page 3 of 4 there\nb"),
        ("inaugu-\nration", "inaugu-\nration"),  # data_processor/hyphens.py decides
        ("inaugu\u00ad\nration", "inaugu\u00ad\nration"),
        ("Anne-\nMarie", "Anne-\nMarie"),
        ("inaugu- ration", "inaugu- ration"),
        ("a\u00adb\u200bc\x07d\x9fe\te", "abcde\te"),
    ],
)
def test_page_numbers_and_control_characters_are_removed(raw, text):
    assert clean("a.txt", raw).text == text


def test_the_licence_around_a_book_is_left_out():
    before = "Project Gutenberg\n*** START OF THE PROJECT GUTENBERG EBOOK THE PIER ***\n"
    after = "*** END OF THE PROJECT GUTENBERG EBOOK THE PIER ***\nThis book may be copied.\n"
    document = clean("a.txt", f"{before}The pier was opened.\n{after}")
    assert document.text == "The pier was opened.\n"
    assert document.spans == ((0, 72, "boilerplate"), (72, 93, "text"), (93, 170, "boilerplate"))


@pytest.mark.parametrize(
    ("pages", "text"),
    [
        (["The Pier\nIt was opened.", "Chapter One\nNets are dried.", "The Pier\nBoats are moored."],
         "It was opened.\n\nChapter One\nNets are dried.\n\nBoats are moored."),
        (["It was opened.", "", "The Pier\nNets are dried.", "", "The Pier\nBoats."],
         "It was opened.\n\nNets are dried.\n\nBoats."),
        (["The Pier", "The Pier", "The Pier\nBoats are moored."], "Boats are moored."),
    ],
    ids=["not on every page", "empty pages", "nothing else"],
)  # fmt: skip
def test_a_running_head_is_left_out_of_the_pages_that_have_it(pages, text):
    assert clean("a.txt", "\f".join(pages)).text == text


def test_a_title_is_folded_like_the_text():
    document = clean("a.md", "---\ntitle: The \ufb01sh\u00ading pier\n---\nThe \ufb01sh are sold.\n")
    assert (document.title, document.text.strip()) == ("The fishing pier", "The fish are sold.")


def test_a_span_ends_where_its_last_character_does():
    document = clean("a.txt", "ab\u00adcd\u00ad\u00adef")
    assert document.text == "abcdef"
    assert [document.to_file_offsets(start, end) for start, end in ((0, 2), (2, 4), (0, 3), (3, 5), (4, 6))] == [
        (0, 2), (3, 5), (0, 4), (4, 8), (7, 9),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.txt", b"", "empty"), ("a.txt", b"\xff\x00\x00\xfe\x81", "UTF-8"), ("a.odt", b"x", "none")],
)
def test_a_folder_without_text_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_documents(tmp_path)


def test_all_files_without_text_are_named(tmp_path):
    for name in ("1.txt", "2.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"found none: 1\.txt, 2\.txt \(an empty file\): put"):
        read_documents(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="found nothing: give --data_path"):
        read_documents(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text(ENGLISH)
    with pytest.raises(InputError, match=r"a\.txt, found a file: give --data_path"):
        read_documents(tmp_path / "a.txt")


def test_cleaned_text_can_be_mapped_back_to_the_file():
    raw = (
        "\ufeffA town\x00 chro\u00adnicle\r\n\r\n1990\r\nThe inaugu-\r\nration cost 4 million.\r\n\r\n- 12 -\r\nPage 3 of 9\r\n"
        "\u7b2c 4 \u9875\r\nIt was X-ray safe.\fNew page,\rold Mac."
    )
    document = clean("a.txt", raw)
    assert document.text == (
        "A town chronicle\n\n1990\nThe inaugu-\nration cost 4 million.\n\nIt was X-ray safe.\n\nNew page,\nold Mac."
    )
    for phrase in ("A town", "1990", "The inaugu", "ration cost 4 million.", "It was X-ray safe.", "old Mac."):
        start = document.text.index(phrase)
        first, last = document.to_file_offsets(start, start + len(phrase))
        assert raw[first:last] == phrase
    start = document.text.index("inaugu-")
    first, last = document.to_file_offsets(start, start + len("inaugu-\nration"))
    assert raw[first:last] == "inaugu-\r\nration"
