"""The bytes of a file are read right, or not at all: code pages, UTF-8 with bad bytes, UTF-16 without a mark."""

from __future__ import annotations

import chardet
import pytest

from data_processor.encodings import decode


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Młyn zbudował w 1883 roku inżynier Stanisław Łęcki, dziadek obecnej właścicielki.\n", "cp1250"),
        ("Mlýn postavil Stanislav Dvořák, dědeček nynější majitelky, a obnova trvala až do září.\n", "iso8859_2"),
        ("A malmot Szőke Géza építette, és csak szeptemberre épült újjá.\n", "cp1250"),
        ("벨드무어 항구는 1987년에 다시 열렸고 햏골의 펲시가 난간을 만들었다.\n", "cp949"),
        ("Ο φάρος άναψε στις 4 Απριλίου 1887.\n", "cp1253"),
        ("Köprü 4 Nisan 1987 günü mühendis Şükrü Işık tarafından açıldı.\n", "cp1254"),
        ("גשר האלונים נפתח באפריל 1987\n", "cp1255"),
        ("สะพานทรายทองเปิดใช้เมื่อวันที่ 4 เมษายน 2530\n", "tis_620"),
        ("Маяк зажгли 4 апреля 1887 года.\n", "koi8_r"),
        ("白浜の灯台は1887年4月4日に点灯された。\n", "euc_jp"),
        ("白浜の灯台\n", "shift_jis"),
        ("設計者是陸文淵。\n", "big5"),
        ("青石渡口\n", "gb18030"),
        ("café\n", "cp1252"),
        ("Il faut le garder à 4 °C.\n", "cp1252"),  # no Russian "а"
        ("Combien d'œufs faut-il pour la recette ?\n", "cp1252"),  # no Polish "ś"
        ("La responsable es Jimena Núñez.\n", "cp1252"),  # no "ń"
    ],
)
def test_a_code_page_is_read_right(text, encoding):
    found = decode(text.encode(encoding))
    assert found.text == text and found.remark.startswith("read as ")


@pytest.mark.parametrize(
    "data",
    [
        "Die Brücke in Köln wurde für Fußgänger geöffnet.\n".encode("cp850"),
        "Le phare a été allumé. À Kerlouan, la fête dura.\n".encode("mac_roman"),
        bytes.fromhex("89504e470d0a1a0a0000000d49484452000001"),
        bytes.fromhex("d0cf11e0a1b11ae1000000ff00"),
    ],
)
def test_what_makes_no_sense_is_not_guessed(data):
    found = decode(data)
    assert found.text is None
    assert found.reason.endswith("in no known encoding: save it as UTF-8")


def test_two_encodings_that_make_as_much_sense_are_named():
    found = decode("Šiauliai\n".encode("iso8859_2"))
    assert found.text is None
    assert found.reason == "in no known encoding (perhaps cp1257 or iso-8859-2): save it as UTF-8"


def test_of_a_long_file_the_first_lines_show_the_code_page(monkeypatch):
    text = "Маяк в гавани зажгли 4 апреля 1887 года.\n" * 1700
    shown = []
    detect = chardet.detect
    monkeypatch.setattr(chardet, "detect", lambda data, **how: shown.append(data) or detect(data, **how))
    assert decode(text.encode("koi8_r")).text == text
    assert [(len(data), data[-2:]) for data in shown] == [(65_518, b".\n")]


def test_a_bad_byte_in_utf8_is_repaired_and_its_place_named():
    data = "Zoë opened the Café Olé.\nShe called it ".encode() + b"\x93the Blue Door\x94; it cost\xa0840 crowns.\n"
    found = decode(data)
    assert found.text == "Zoë opened the Café Olé.\nShe called it “the Blue Door”; it cost\u00a0840 crowns.\n"
    assert found.remark == (
        "UTF-8 with bytes that are not UTF-8, repaired: 93 at byte 42 (line 2), 94 at byte 56 (line 2), "
        "a0 at byte 66 (line 2); check these places"
    )


def test_a_character_that_is_broken_in_chinese_is_shown_as_broken():
    data = "青石渡口建于1911年，由工程师陆文渊主持修建。河上的桥名叫".encode() + b"\xe9\xbb" + "桥。\n".encode()
    assert decode(data).text == "青石渡口建于1911年，由工程师陆文渊主持修建。河上的桥名叫\ufffd桥。\n"


def test_a_bad_byte_that_windows_1252_has_not_either_is_shown_as_broken():
    data = "Zoë opened the Café".encode() + b"\x9d in 1991.\n"
    assert decode(data).text == "Zoë opened the Café\ufffd in 1991.\n"


def test_a_character_cut_off_by_the_end_is_left_out():
    assert decode("Le phare a été allumé apr".encode() + b"\xc3").text == "Le phare a été allumé apr"


def test_a_byte_order_mark_does_not_hide_bad_bytes():
    found = decode(b"\xef\xbb\xbf" + "café, naïve, it".encode() + b"\x92s\n")
    assert found.text == "café, naïve, it’s\n"
    assert "92 at byte 20 (line 1)" in found.remark


def test_utf16_needs_no_mark():
    text = "The pier of Marrow was opened in 1991. It cost 3.2 million crowns.\n"
    assert decode(text.encode("utf-16-le")).text == text
