"""Markup is taken out or read as such, every character is accounted for, and every place is found again in the file."""

from __future__ import annotations

import pytest

from data_processor.chunking import parse
from data_processor.documents import clean


def lines(name: str, raw: str) -> list[str]:
    return [line.strip() for line in clean(name, raw).text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("a.md", "# The *Osprey*\nThe **Osprey** was built by [Ruth](http://x.org/a_(b) \"c\")[^1].\n", ["The Osprey", "The Osprey was built by Ruth."]),
        ("a.md", "A ~~red~~ green &amp; `big` hull.\n![In fog](fog.png)\n", ["A  green & big hull."]),
        ("a.md", "```\ncode. Code.\n```\n<!-- no -->\nSeen\\\nin 1961.\n\n[1]: http://x.org\n", ["Seen", "in 1961."]),
        ("a.md", "> She was sold\n> in 1961.\n\n- [x] Done *once*\n    in 1962\n", ["She was sold", "in 1961.", "- Done once", "in 1962"]),
        ("a.md", "+++\ntitle = \"T\"\n+++\nText.\n", ["Text."]),
        ("a.md", "---\n\nText.\n\n---\n", ["Text."]),
        ("a.md", "1. Ann\n \t built *it*\n\n- x\n\n\ty\n\tz *f*\n", ["1. Ann", "built it", "- x", "y", "z f"]),  # part of a tab
        ("a.md", "The mill\n========\nIt turns.\n", ["The mill", "It turns."]),
        ("a.txt", "3 * 4 * 5, 2*3*4, snake_case_name, (1 ha)*, (2 ha)* and #1. Write to <jens@example.org>, if a<b.\n",
         ["3 * 4 * 5, 2*3*4, snake_case_name, (1 ha)*, (2 ha)* and #1. Write to <jens@example.org>, if a<b."]),
        ("a.txt", "**A** and ***Ann*** paid **$5**, **¿no?** So __init__, 2**3**4 and (1 ha)**, (2 ha)** stay.\n",
         ["A and Ann paid $5, ¿no? So __init__, 2**3**4 and (1 ha)**, (2 ha)** stay."]),
        ("a.txt", "It cost ~~40~~45, ~~not\nmuch~~ more. So 1~~2~~3, ~~ x ~~, ~5 and ~~y stay.\n", ["It cost 45,", "more. So 1~~2~~3, ~~ x ~~, ~5 and ~~y stay."]),
        ("a.txt", "| a |\n|---|\n| ~~40~~ 45 |\n", ["a: 45."]),
        ("a.md", "It <span hidden>never</span>is <i style='display: none'>not</i><b>old</b><template>x</template>.\n", ["It is old."]),
        ("a.md", "It is old.\n\n<div hidden>\nNot seen.\n</div>\n\n<noscript>Enable it.</noscript>\n", ["It is old."]),
        ("a.md", "135 [^1] euros[^2] and[^3]: <del>40</del> 55, <s>lost.\n\n[^1]: A note.\n- [^2]: other\n",
         ["135 euros and:  55, lost.", "A note.", "- other"]),
        ("a.txt", "== Price ==\nIt cost <s>40</s> 55.\n", ["Price", "It cost  55."]),
        ("a.txt", "He was _fourteen_.[1] The \"[h]ouse\" of a[1].[citation needed]\n", ["He was fourteen. The \"[h]ouse\" of a[1]."]),
        ("a.txt", "== History ==\nThe '''Osprey''' was built by [[Ruth Ambler|Ambler]].<ref>Log.</ref>\n", ["History", "The Osprey was built by Ambler."]),
        ("a.txt", "== The '''Osprey''' of [[Ann Bell|''Ann'']] ==\nBuilt by [[Ida|'''Ida''' Marsh]].\n", ["The Osprey of Ann", "Built by Ida Marsh."]),
        ("a.txt", "WEBVTT - a talk\n\nNOTE by hand\nin May\n\n00:01.000 --> 00:02.000\nIris\n\nNOTE here\n\n00:03.000 --> 00:04.000\nbuilt it.\n",
         ["Iris", "built it."]),
        ("a.txt", "WEBVTT\n00:01.000 --> 00:02.000\nIris built it.\n", ["Iris built it."]),
        ("a.txt", "1\n00:00:01,000 --> 00:00:02,000\n<i>Iris built it.</i>\n\n2\n00:00:03,000 --> 00:00:04,000\n[storm]\n", ["Iris built it."]),
        ("a.txt", "Works  Report\n\nThey sold 3 and\n\n - 12 -\n\f\nWorks  Report\n\nearned 4.\n", ["They sold 3 and", "earned 4."]),
    ],
)  # fmt: skip
def test_marks_are_taken_out(name, raw, expected):
    assert lines(name, raw) == expected


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.md", "| ferry | price \\| crowns |\n|:--|--:|\n| Osprey | 42 |\n| *Heron* | |\n"),
        ("a.txt", "| ferry | price \\| crowns |\n|---|---|\n| Osprey | 42 |\n| Heron |  |\n"),
        ("a.html", "<table><tr><th>ferry<th>price | crowns</tr>\n<tr><td>Osprey</td><td>42</td></tr><tr><td>Heron<td></table>"),
    ],
)  # fmt: skip
def test_a_row_of_a_table_is_a_line_with_the_words_of_its_header(name, raw):
    document = clean(name, raw)
    assert [line for line in document.text.splitlines() if line] == [
        "ferry: Osprey; price | crowns: 42.",
        "ferry: Heron.",
    ]
    start = document.text.index("Osprey")
    assert raw[slice(*document.to_file_offsets(start, start + 6))] == "Osprey"
    assert [document.text[start:end] for start, end in document.rows][-1].startswith("ferry: Heron")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("<tr><th>tier<th>city<th>seats</tr><tr><td rowspan=2>H<sub>2</sub> Gold<td>Bern<td>90</tr><tr><td>Basel<td>80</tr><tr><td>Iron<td>Ulm<td>7</tr>",
         ["tier: H2 Gold; city: Bern; seats: 90.", "tier: H2 Gold; city: Basel; seats: 80.", "tier: Iron; city: Ulm; seats: 7."]),
        ("<tr><th>city<th>tier</tr><tr><td>Bern<td rowspan=0>Gold</tr><tr><td>Basel</tr>", ["city: Bern; tier: Gold.", "city: Basel; tier: Gold."]),
        ("<tr><th>tier<th>adult<th>child<th>city</tr><tr><td>Gold<td colspan=2>40<td>Bern</tr><tr><td colspan=4>All cheap.</tr>",
         ["tier: Gold; adult, child: 40; city: Bern.", "All cheap."]),
        ("<tr><th rowspan=2>tier<th colspan=2>price</tr><tr><th>adult<th>child</tr><tr><td>Gold<td>90<td>40</tr>",
         ["tier: Gold; price adult: 90; price child: 40."]),
        ("<tr><th>city<th>seats</tr><tr><th colspan=2>Europe</tr><tr><td>Bern<td>9</tr><tr><th colspan=2>Asia</tr><tr><td>Ube<td>8</tr>",
         ["city: Bern; seats: 9.", "city: Ube; seats: 8."]),
        ("<tbody><tr><td rowspan=9>A<td>B</tr></tbody><tbody><tr><td colspan=x>C<td></tr></tbody>", ["A; B.", "C."]),
        ("<tr><td rowspan=2>A<td>B<td>C</tr><tr><td><td>D</tr>", ["A; B; C.", "A; D."]),
        ("<tr><td rowspan=2> <td>B</tr><tr><td>D</tr>", ["B.", "D."]),
    ],
    ids=["rows", "to the end", "columns", "header of two rows", "sections", "parts of a table", "an empty cell", "a tall empty cell"],
)  # fmt: skip
def test_a_cell_stands_in_all_its_rows_and_under_all_its_columns(rows, expected):
    document = clean("a.html", raw := f"<table>{rows}</table>")
    found = [line for line in document.text.splitlines() if line]
    for name in ("Bern", "Basel", "Ube", "B", "C", "D"):  # each cell leads back to its own place
        if f">{name}<" in raw:
            at = (
                document.text.index(f"{name}.")
                if len(name) == 1 and f"{name}." in document.text
                else document.text.index(name)
            )
            assert raw[slice(*document.to_file_offsets(at, at + len(name)))] == name
    assert found == expected and len(document.rows) == len(expected)


def test_cells_that_look_alike_lead_back_to_their_own_places():
    raw = "| x | y | z |\n|---|---|---|\n| a \\| b | a | b |\n"
    document = clean("a.md", raw)
    assert document.text == "x: a | b; y: a; z: b.\n"
    places = [document.to_file_offsets(start, end) for start, end in ((3, 8), (13, 14), (19, 20))]
    assert [(start, raw[start:end]) for start, end in places] == [(30, "a \\| b"), (39, "a"), (43, "b")]


def test_a_cell_has_the_words_that_a_reader_sees_in_it():
    raw = "| a | b |\n|---|---|\n| ~~40~~ 45 [^1] | x \\| ~~b~~ c<br>d |\n| <del>1</del> **2** | ~~3~~ |\n"
    document = clean("a.md", raw)
    assert document.text == "a: 45; b: x | c d.\na: 2.\n"
    assert [raw[slice(*document.to_file_offsets(at, at + 1))] for at in (3, 4, 22)] == ["45 [^1]", "45 [^1]", "2"]
    assert clean("a.txt", "| a | b |\n|---|---|\n| 2*3*4 | *x* |\n").text == "a: 2*3*4; b: x.\n"


def test_each_table_of_a_file_has_its_rows():
    document = clean("a.md", "| a | b |\n|---|---|\n| 1 | 2 |\n\nBetween.\n\n| c | d |\n|---|---|\n| 3 | 4 |\n")
    assert [document.text[start:end] for start, end in document.rows] == ["a: 1; b: 2.", "c: 3; d: 4."]


def test_several_lines_over_a_rule_are_a_heading_in_markdown_and_a_paragraph_in_plain_text():
    raw = "The mill of Ann\nand of Ida\n-------\nIt turns.\n"
    headings = [[d.text[start:end] for start, end in d.headings] for d in (clean("a.md", raw), clean("a.txt", raw))]
    assert headings == [["The mill of Ann\nand of Ida"], []]
    assert clean("a.md", raw).text == clean("a.txt", raw).text == "The mill of Ann\nand of Ida\n\nIt turns.\n"


def test_a_drawn_table_has_rows_too():
    raw = "+-----+-----+\n| who | age |\n+=====+=====+\n| Ann | 30  |\n| Ida | 30  |\n+-----+-----+\n"
    document = clean("a.txt", raw)
    assert document.text == "who: Ann; age: 30.\nwho: Ida; age: 30.\n"
    assert [raw[start:end] for start, end, kind in document.spans if kind == "heading"] == ["| who | age |\n"]
    assert [raw[start:end] for start, end, kind in document.spans if kind == "text"] == [
        "Ann", "30", "\n", "Ida", "30", "\n",
    ]  # fmt: skip


def test_a_drawn_table_has_a_header_where_a_rule_follows_a_row():
    assert clean("a.txt", "+-----+-----+\n| who | age |\n+=====+=====+\n| Ann | 30  |\n").text == "who: Ann; age: 30.\n"
    assert clean("a.txt", "| Ann | 30 |\n| Ida | 31 |\n").text == "Ann; 30.\nIda; 31.\n"


def test_a_column_without_a_name_and_a_cell_without_words_add_nothing_to_a_row():
    raw = "| | fate |\n|---|---|\n| Osprey | It was sold. |\n| Heron | |\n| | burned |\n"
    assert lines("a.md", raw) == ["Osprey; fate: It was sold.", "Heron.", "fate: burned."]


def test_html_is_read_as_html_in_any_file():
    raw = (
        "<!DOCTYPE html><html><head><title>The\n mill</title><style>p {a. b}</style></head><body><nav>Home</nav>\n"
        "<h1>Its <i>history</i></h1><p>Rebuilt in&nbsp;1921\n  by <b>Ann</b>.<br>It cost 4.</p><ul><li>one</li><li>two</ul></body></html>"
    )
    document = clean("a.txt", raw)
    assert [line for line in document.text.splitlines() if line] == [
        "Its history", "Rebuilt in 1921 by Ann.", "It cost 4.", "- one", "- two",
    ]  # fmt: skip
    assert document.title == "The mill"
    assert [document.text[start:end] for start, end in document.headings] == ["Its history"]
    start = document.text.index("1921 by Ann.")
    assert raw[slice(*document.to_file_offsets(start, start + 12))] == "1921\n  by <b>Ann</b>."


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("The ferry<p>was sold.</p>", "The ferry\n\nwas sold."),  # text before the first tag
        ("<p>Write to <jens@example.org>.</p>", "Write to <jens@example.org>."),  # an address is no tag
        ("<p>Two are left:</p><ul><li>Osprey</li><li>Heron</li></ul><p>One is sold.</p>",
         "Two are left:\n\n- Osprey\n- Heron\n\nOne is sold."),
        ("<p>The  log:</p><pre>1931  Osprey\n1956  Heron</pre><p>No  more.</p>", "The log:\n\n1931  Osprey\n1956  Heron\n\nNo more."),
        ("<p>A</p></pre><p>b  c</p><pre>d  e</pre>", "A\n\nb c\n\nd  e"),
        ("<p>青石镇\n建于1368年。\nOtto Brill</p>", "青石镇建于1368年。 Otto Brill"),  # a line of Chinese goes on in the next
        ("<nav><ul><li>Home<li>News<br></ul></nav><p>It is old.</p>", "It is old."),
        ("<nav>Home<nav>News</nav>Log in</nav><p>It is old.</p>", "It is old."),
        ("<p>It is <del>4<b>0</b></del><strike>1 <strike>2</strike></strike>5.</p><p><s>Lost</p><p><S>3</S>Seen</p>",
         "It is 5.\n\nLost\n\nSeen"),  # one that is not closed strikes nothing
        ("<p>It is <span style='color:red; Text-Decoration: line-through'>4 <span>m</span></span>5 m.</p>", "It is 5 m."),
        ("<p>A <span style='text-decoration-line:line-through'>b</p><p>c <span style='text-decoration:none'>d</span></p>",
         "A b\n\nc d"),
        ("<?xml version='1.0'?><!DOCTYPE html><p>It is <?php echo 1 ?>old<!-- no -->, <![CDATA[x]]>H&#8322;O &amp; all.</p>",
         "It is old, H₂O & all."),
        ("<p hidden>No.</p><div hidden=''><div>No</div>No</div><p style='color:red; DISPLAY : none'>No</p>"
         "<p style='visibility:hidden'>No</p><p style='display:block'>Seen.</p>", "Seen."),
        ("<body style='visibility:hidden'><main hidden><p>Seen by and by.</p></main></body>", "Seen by and by."),
        ("<p>It is old.</p><template><p>No</p></template><noscript>No</noscript><p hidden>Lost", "It is old.\n\nLost"),
        ("<p>Go <i aria-hidden='true'>→ ★</i>on. <i class='material-icons' aria-hidden='true'>home</i><b aria-hidden='true'>9 euros</b></p>",
         "Go on. 9 euros"),  # what is not read out is seen, but for ornaments
        ("<button aria-controls='x'>More</button><div id='x' hidden><p>It opens.</p></div><a href='#y'>Two</a>"
         "<div id='y' style='display:none'>So does this.</div><div role='tabpanel' hidden>A tab.</div><p hidden='until-found'>Found.</p>",
         "More\n\nIt opens.\n\nTwo\n\nSo does this.\n\nA tab.\n\nFound."),  # what a reader can have shown is read
        ("<table><tr><th>a<th hidden>h</th><th>b</tr><tr><td>1<td hidden>x</td><td>2</tr></table>", "a: 1; b: 2."),
        ("<table><tr><th>a<th>b</tr><tr><td><s>40</s> 45<td><del>x</del></tr></table>", "a: 45."),
        ("<table><tr><th>ferry:<th>built</tr><tr><td>Osprey<td>1931<td>sold</tr></table>", "ferry: Osprey; built: 1931; sold."),
    ],
)  # fmt: skip
def test_what_a_reader_of_html_sees(raw, text):
    assert clean("a.html", raw).text.strip("\n") == text


def test_a_heading_of_a_wiki_is_one_and_a_link_is_none():
    document = clean("a.txt", "The mill of [[Orsden]].\n\n== Its history ==\nIt was built by [[Ann Bell|Bell]].\n")
    assert [document.text[start:end] for start, end in document.headings] == ["Its history"]


def test_the_end_of_a_heading_that_never_began_is_none():
    document = clean("a.html", "<p>It is old.</h2></p><h2>The mill</h2><p>It turns.</p>")
    assert [document.text[start:end] for start, end in document.headings] == ["The mill"]


def test_every_character_of_html_is_accounted_for():
    raw = "<nav>Home</nav><table><tr><th>ferry</tr><tr><td>Osprey</td></tr></table><p>It is <b>old</b>.</p>"
    assert [(raw[start:end], kind) for start, end, kind in clean("a.html", raw).spans] == [
        ("<nav>Home</nav>", "boilerplate"), ("<table><tr><th>", "markup"), ("ferry", "heading"), ("</tr><tr><td>", "markup"),
        ("Osprey", "text"), ("</td></tr></table><p>", "markup"), ("It is ", "text"), ("<b>", "markup"), ("old", "text"),
        ("</b>", "markup"), (".", "text"), ("</p>", "markup"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "raw", "title"),
    [
        ("a.md", "An *old* text.\n\n# The *Osprey* of `Ann`\n\nIt is **old**.\n\n# The end\n", "The Osprey of Ann"),
        ("a.txt", "[[One]].\n\n== The '''Osprey''' ==\nIt is '''old'''.\n\n== The end ==\n", "The Osprey"),
        ("a.html", "<p>An <b>old</b> one.</p><h1>The <i>Osprey</i>\n of Ann</h1><p>It is <b>old</b>.</p>", "The Osprey of Ann"),
        ("a.md", "---\ntitle: '  The  Osprey '\n---\n# The end\n", "The Osprey"),
        ("a.md", "---\ndate: 1931\n---\n# The *Osprey*\n", "The Osprey"),
        ("a.md", "An *old* text.\n", ""),
    ],
)  # fmt: skip
def test_the_title_is_the_one_given_or_else_the_first_heading_as_a_reader_sees_it(name, raw, title):
    assert clean(name, raw).title == title


def test_front_matter_is_metadata_with_its_title():
    document = clean(
        "a.md", '---\ntitle: "Das Bad"\ndate: 2024-03-15\ntags: [bath]\n---\n\n# Das Bad\n\nEs wurde 1927 eröffnet.\n'
    )
    assert document.title == "Das Bad"
    assert document.metadata == {"title": "Das Bad", "date": "2024-03-15", "tags": ["bath"]}
    assert document.spans == (
        (0, 55, "metadata"),
        (55, 56, "text"),
        (56, 58, "markup"),
        (58, 66, "heading"),
        (66, 91, "text"),
    )


def test_front_matter_that_does_not_parse_is_no_text():
    document = clean("a.md", '---\ntitle: The Mill: "unclosed\ntags: [a, b\n---\nText.\n')
    assert document.text == "Text.\n"
    assert document.title == 'The Mill: "unclosed'


def test_every_character_is_accounted_for():
    raw = "Head\n====\n\nA *b*[1] c\u00ad.\r\n\n- 12 -\n```\nx\n```\n"
    spans = clean("a.md", raw).spans
    assert [(raw[start:end], kind) for start, end, kind in spans] == [
        ("Head\n", "heading"), ("====\n", "markup"), ("\nA ", "text"), ("*", "markup"), ("b", "text"), ("*[1]", "markup"),
        (" c\u00ad.\r\n\n", "text"), ("- 12 -\n", "boilerplate"), ("```\nx\n```\n", "markup"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Jose\u0301 Garci\u0301a", "José García"),
        ("\u1109\u1169\u11af\u1102\u1162", "솔내"),
        ("the o\ufb03ce,\u00a03\u202fm", "the office, 3 m"),
        ("har\u200bbour\u200c Floyd ob\u00adser", "harbour Floyd obser"),
        ("نیک\u200cرود", "نیک\u200cرود"),  # spelling in Persian
    ],
)
def test_characters_that_only_look_different_are_the_same(raw, text):
    document = clean("a.txt", raw)
    assert document.text == text
    assert document.to_file_offsets(0, len(text)) == (0, len(raw))


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("a.md", "The Osprey\nwas built in\n1931 by Ann\nOld for 42 crowns\n", ["The Osprey was built in 1931 by Ann Old for 42 crowns"]),
        ("a.md", "> Sold\n> in May.\n\n- Ann\nAmbler\n", ["Sold in May.", "Ann Ambler"]),
        ("a.md", "The lamp went round\\\nAnd all the stars  \nWere company<br>\nNear<br>Me\n",
         ["The lamp went round", "And all the stars", "Were company", "Near", "Me"]),
        ("a.md", "It is.\\\nThe Osprey\nWas built in\n1931 by Ann\n", ["It is.", "The Osprey Was built in 1931 by Ann"]),
        ("a.md", "Seen in the\n![fog](a.png)\nHarbour in\n2. class | third.\n", ["Seen in the Harbour in 2. class | third."]),
        ("a.txt", "1\n00:00:01,000 --> 00:00:02,000\nGreta\nSolvang\n\n2\n00:00:03,000 --> 00:00:04,000\n[storm]\n\n"
         "3\n00:00:05,000 --> 00:00:06,000\nleft.\n- Why?\n- Ann.\n", ["Greta Solvang left.", "Why?", "Ann."]),
        ("a.txt", "It was larger than the\n\n - 12 -\n\fone of Greta Sol-\n\fvang at Orsden.\n", ["It was larger than the one of Greta Solvang at Orsden."]),
    ],
    ids=["soft breaks", "quotation and item", "forced breaks", "soft after forced", "an image within", "cues", "pages"],
)  # fmt: skip
def test_a_paragraph_that_markup_tells_is_one(name, raw, expected):
    parsed = parse(clean(name, raw), "en")
    assert [parsed.joined.text[unit.start : unit.end] for unit in parsed.units] == expected
    assert parsed.headings == []
