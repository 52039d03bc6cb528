"""PDF and Word files: read if the libraries are there, made once, and named with the reason if they have no text. No model."""

from __future__ import annotations

import json
import logging
import os
import zipfile

import pytest

import run_all
from data_processor import conversion
from data_processor.accounting import count_characters
from data_processor.chunking import parse
from data_processor.conversion import Line, with_blank_lines
from data_processor.documents import clean, read_documents, read_folder
from data_processor.retrieval import read_source_documents

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
LEAVE = [["Harbour Office", "Employees tell their manager be-", "fore they take a day off, and the", "", "Page 1 of 2"],
         ["Harbour Office", "manager answers within three days.", "", "Passwords are never shared.", "Page 2 of 2"]]  # fmt: skip


def make_pdf(path, pages: list[list[str]]) -> None:
    """A PDF with these lines, each page's first and last in its margins."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for lines in pages:
        heights = [820, *(700 - 14 * number for number in range(len(lines) - 2)), 20]
        drawn = "".join(
            f"BT /F 11 Tf 72 {height} Td ({line}) Tj ET\n" for height, line in zip(heights, lines, strict=False) if line
        )
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >> /Contents {len(objects) + 2} 0 R >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}endstream",
        ]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"
    body, places = "%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    body += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer << /Root 1 0 R /Size {len(objects) + 1} >>\n"
    )
    path.write_bytes(f"{body}startxref\n{body.index('xref')}\n%%EOF\n".encode("latin-1"))


def make_docx(path, paragraphs: list[str]) -> None:
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("word/document.xml", f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>')
        file.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r" Type="{relation}" Target="word/document.xml"/></Relationships>',
        )
        file.writestr(
            "[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
        )


def test_a_pdf_is_read_in_sentences_without_running_heads(tmp_path):
    pytest.importorskip("pypdfium2")
    make_pdf(tmp_path / "leave.pdf", LEAVE)
    [document], left_out = read_folder(tmp_path)
    parsed = parse(document, "en")
    assert [parsed.joined.text[unit.start : unit.end] for unit in parsed.units] == [
        "Employees tell their manager before they take a day off, and the manager answers within three days.",
        "Passwords are never shared.",
    ]
    assert count_characters(document, parsed)["boilerplate"] == 56 and not left_out


def test_a_text_is_kept_and_made_again_only_if_the_file_changed(tmp_path, monkeypatch):
    pytest.importorskip("mammoth")
    make_docx(tmp_path / "a.docx", ["The pier was opened in 1991.", "3 &lt; 4 *as* it stands."])
    kept = tmp_path / "out" / "converted" / "a.docx.html"
    [document] = read_documents(tmp_path, tmp_path / "out")
    assert document.text.strip().split("\n\n") == ["The pier was opened in 1991.", "3 < 4 *as* it stands."]
    start = document.text.index("opened")
    assert kept.read_text()[slice(*document.to_file_offsets(start, start + 6))] == "opened"
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "docx_to_html", None)  # any call fails
        assert read_documents(tmp_path, tmp_path / "out") == [document]
        told = read_source_documents(tmp_path, [{"file_name": "a.docx"}], "data.json", tmp_path / "out")
        assert told == {"a.docx": document.text}
    make_docx(tmp_path / "a.docx", ["The mill burnt down."])
    os.utime(tmp_path / "a.docx", ns=(1, kept.stat().st_mtime_ns + 1))
    assert read_documents(tmp_path, tmp_path / "out")[0].text.strip() == "The mill burnt down."


def test_all_stages_together_convert_a_file_once(tmp_path, monkeypatch):
    pytest.importorskip("mammoth")
    make_docx(tmp_path / "a.docx", ["Der Steg wurde im Mai geöffnet, und die Halle ist im Winter geschlossen."])
    arguments = run_all.Arguments(model_name_or_path="m", data_path=str(tmp_path), out=str(tmp_path / "out"))
    run_all.choose_general_questions(arguments, read_documents(tmp_path, tmp_path / "out"))
    assert arguments.retention_data_path.endswith(".de.json")
    monkeypatch.setattr(conversion, "docx_to_html", None)  # any call fails
    assert len(read_documents(tmp_path, tmp_path / "out")) == 1


def test_files_without_text_are_named_with_the_reason(tmp_path):
    pytest.importorskip("pypdfium2")
    pytest.importorskip("mammoth")
    make_pdf(tmp_path / "scan.pdf", [[], []])
    make_pdf(tmp_path / "cut.pdf", LEAVE)
    (tmp_path / "cut.pdf").write_bytes((tmp_path / "cut.pdf").read_bytes()[:20])
    (tmp_path / "broken.docx").write_bytes(b"PK nothing")
    documents, left_out = read_folder(tmp_path)
    assert documents == [] and left_out == {
        "broken.docx": "broken, or no .docx file (File is not a zip file)",
        "cut.pdf": "broken, or no .pdf file (Failed to load document (PDFium: Data format error).)",
        "scan.pdf": "pages without text, as a scanner makes them: recognise the text (OCR) and save it again",
    }


def test_a_text_is_read_back_as_it_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "pdf_to_text", lambda path: "The pier\r\nwas\ropened\ud800.\n")
    monkeypatch.setattr(conversion, "find_spec", lambda name: True)
    (tmp_path / "a.pdf").write_bytes(b"")
    kept = tmp_path / "kept.txt"
    assert conversion.convert(tmp_path / "a.pdf", kept) == ("The pier\nwas\nopened?.\n", "")
    monkeypatch.setattr(conversion, "pdf_to_text", None)
    assert conversion.convert(tmp_path / "a.pdf", kept) == ("The pier\nwas\nopened?.\n", "")


def test_a_run_keeps_the_texts_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "pdf_to_text", lambda path: "The pier was opened in 1991.\n")
    monkeypatch.setattr(conversion, "find_spec", lambda name: True)
    (tmp_path / "a.pdf").write_bytes(b"")
    documents = read_documents(tmp_path, tmp_path / "out")
    [kept] = (tmp_path / "out" / "converted").iterdir()
    assert kept.read_text() == documents[0].text == "The pier was opened in 1991.\n"
    monkeypatch.setattr(conversion, "pdf_to_text", None)  # any call fails
    assert read_documents(tmp_path, tmp_path / "out") == documents


def test_an_encrypted_file_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise ValueError("Failed to load document (PDFium: Incorrect password error).")

    monkeypatch.setattr(conversion, "pdf_to_text", refuse)
    monkeypatch.setattr(conversion, "find_spec", lambda name: True)
    (tmp_path / "a.pdf").write_bytes(b"")
    assert read_folder(tmp_path)[1] == {"a.pdf": "it is encrypted: save it without a password"}


def test_without_the_libraries_one_line_names_the_files_and_the_command(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    for number in range(12):
        (tmp_path / f"{number}.pdf").write_bytes(b"")
    (tmp_path / "a.txt").write_text("The pier was opened in 1991.\n")
    read_documents(tmp_path, tmp_path / "out")
    reason = "pypdfium2, which reads it, is not installed: bash shells/setup.sh requirements-documents.txt"
    assert caplog.messages == [f"left out: 0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf and 7 more ({reason})"]
    whole = (tmp_path / "out" / "log" / "left_out.json").read_text()
    assert json.loads(whole) == {f"{number}.pdf": reason for number in range(12)}
    assert whole.splitlines()[12] == f' "11.pdf": "{reason}"', "a file a line"


def test_more_space_than_usual_is_an_empty_line():
    lines = [Line("a", 90.0), Line("b", 80.0), Line("c", 70.0), Line("d", 50.0), Line("next column", 90.0)]
    assert with_blank_lines(lines) == ["a", "b", "c", "", "d", "next column"]
    assert with_blank_lines([Line("a"), Line("b")]) == ["a", "b"] and with_blank_lines([]) == []


def test_a_running_head_of_several_lines_is_left_out_and_the_text_of_one_page_stays():
    raw = "Harbour Office\nFor staff\nPage 1\nBoats are moored.\n\fHarbour Office\nFor staff\nPage 2\nNets are dried.\n"
    assert clean("a.txt", raw).text == "Boats are moored.\n\nNets are dried.\n"
    assert clean("a.txt", "Head\n\fHead\nNets are dried.\n").text.strip() == "Nets are dried."
