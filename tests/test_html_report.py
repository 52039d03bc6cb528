"""report.html in a real browser: what models wrote is shown and never run, filters work, nothing is loaded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from runs import write_run
from scripted import BASE, SFT, answer

from evaluation import report, report_text

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
HACK = "document.body.dataset.hacked='1'"
EVIL = [
    f'<img src=x onerror="{HACK}">',
    f"</script><script>{HACK}</script>",
    f"<svg/onload={HACK}>\"'`",
    f"<!--<script>{HACK}//-->",
    f'" onfocus="{HACK}" autofocus="',
    "\u2028\u2029 & &amp; &lt;b&gt; \\u003c \\",
    "${" + HACK + "} /*DATA*/null",
]
# What makes markup or code of a text, or loads something, in the script of a page.
UNSAFE = re.compile(
    r"""(?:inner|outer)HTML|insertAdjacentHTML|HTMLUnsafe|createContextualFragment|DOMParser|srcdoc|cssText|document\.write
    |javascript:|\beval\b|\bFunction\b|\bset(?:Timeout|Interval)\b|\bimport\b|\bWorker\b|XMLHttpRequest|\bfetch\b|sendBeacon
    |WebSocket|EventSource|\blocation\s*=|location\.(?:href|assign|replace)|\.on[a-z]+\s*=|\son[a-z]+=["']
    |\b(?:href|src|action|on(?!e\b)[a-z]+)["']?\s*:|make\(\s*["'](?:a|img|iframe|script|object|embed|form|base|link)["']""",
    re.VERBOSE,
)
OPEN_ALL = "<script>document.querySelectorAll('details').forEach(one => one.open = true)</script>"


def gathered(folder: Path, sft: list[dict], base: list[dict]) -> dict:
    write_run(folder, sft, base)
    return report.collect_report_data(folder, "sft", "base", documents=str(folder))


class Page(HTMLParser):
    """Text and attributes of a page, without its scripts."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.text, self.marked, self.attributes, self.inside = "", [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text += data
        if self.inside == "mark":
            self.marked.append(data)


def opened(page: Path, text: str, fragment: str = "") -> Page:
    """The page after its scripts ran in headless Chromium."""
    page.write_text(text, encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=3000",
        "--dump-dom",
        f"file://{page}{fragment}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return Page(done.stdout)


@needs_chromium
def test_nothing_of_an_answer_is_run_and_all_of_it_is_shown(tmp_path):
    sft = [
        answer(n, text, fact=f"Fact {text}", question=f"Question {text}?", file_name="a.txt")
        for n, text in enumerate(EVIL)
    ]
    base = [{**row, "response": text[::-1]} for row, text in zip(sft, EVIL, strict=True)]
    (tmp_path / "a.txt").write_text(f"A heading\n\nIt says Fact {EVIL[0]} here. And {EVIL[1]} more.\n")
    page = opened(tmp_path / "report.html", report.render_html(gathered(tmp_path, sft, base)) + OPEN_ALL)
    assert not [attribute for attribute in page.attributes if attribute[1] == "data-hacked"]
    assert not [attribute for attribute in page.attributes if attribute[0] == "img" or attribute[1].startswith("on")]
    for text in EVIL:
        assert page.text.count(text) >= 3, text  # as question, fact and answer
        assert text[::-1] in page.text
    assert f"It says Fact {EVIL[0]} here." in page.marked


@needs_chromium
@pytest.mark.parametrize(("fragment", "shown"), [("", "0123"), ("#learnt", "03"), ("#lost", "2"), ("#disagree", "")])
def test_the_filters(tmp_path, fragment, shown):
    page = opened(tmp_path / "report.html", report.render_html(gathered(tmp_path, SFT, BASE)), fragment)
    for number in range(4):
        assert (f"Question {number}?" in page.text) == (str(number) in shown)
    assert "50.0% of the questions right before, 75.0% after: no significant difference" in page.text
    assert ("button", "aria-pressed", "true") in page.attributes


def test_the_page_makes_nothing_but_text_of_a_text():
    template = report.TEMPLATE.read_text(encoding="utf-8")
    script = template.split("<script>")[1]
    assert len(script) > 10_000 and script.count("textContent") > 5  # it is the script that makes the page
    assert [found[0] for found in UNSAFE.finditer(template)] == []
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"" in template


def test_a_text_is_shown_in_its_own_direction():
    style = report.TEMPLATE.read_text(encoding="utf-8")
    (rule,) = re.findall(r"([^{}]*)\{ unicode-bidi: plaintext; \}", style)
    shown = {".q", ".ref", ".answer p", ".known dd", "blockquote", "td"}
    assert shown <= {one.strip() for one in rule.split(",")}


def test_nothing_in_the_data_can_end_the_script_or_a_line_of_it(tmp_path):
    rows = [answer(n, text, fact=f"Fact {text}", role=text, file_name=text) for n, text in enumerate(EVIL)]
    found = gathered(tmp_path, rows, [{**row, "response": "no"} for row in rows])
    found |= {"judge": "</script><!--", "folder": "\u2028\u2029&<>"}
    page = report.render_html(found)
    body = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert not set(body) & set("<>&\u2028\u2029")
    assert page.replace(body, "/*DATA*/null") == report.TEMPLATE.read_text(encoding="utf-8")  # and nothing else
    data = json.loads(body)
    assert (data["judge"], data["folder"]) == ("</script><!--", "\u2028\u2029&<>")
    assert [row["role"] for row in data["questions"]] == EVIL
    assert [row["fact"] for row in data["questions"]] == [f"Fact {text}" for text in EVIL]


def test_the_page_is_given_its_words_and_the_tags_of_each_question(tmp_path):
    page = report.render_html(gathered(tmp_path, SFT, BASE))
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["words"]["verdict"] == "no significant difference"
    assert data["words"]["models"] == {"base": "base", "sft": "tuned", "open_book": "open book", "rag": "RAG"}
    assert data["words"]["kinds"] == {
        "qa": "forward", "reverse": "reverse", "held_out_wording": "held-out wording",
        "held_out_fact": "held-out fact", "unknown": "unanswerable", "retention": "general knowledge",
    }  # fmt: skip
    assert data["words"]["points"] == {"with_points": "its points", "without_points": "the whole reference"}
    assert data["words"]["about_points"] is None and data["words"]["judge_failed"] is None
    assert [row["tags"] for row in data["questions"]] == [["learnt"], [], ["lost"], ["learnt"]]


def dead_judge(folder: Path) -> dict:
    """What a report gathers if no number could be computed, and some are none at all, as earlier versions wrote them."""
    found = gathered(folder, SFT, BASE) | {"judge": "m"}
    for score in found["scores"].values():
        score |= {"by_kind": {}, "by_document": {}, "by_role": {}}
        score |= {
            "correct": 0,
            "incorrect": 0,
            "unscored": 4,
            "accuracy": None,
            "interval": None,
            "judge_failed": "none",
        }
    found["compared"]["gap_closed"] = {"gap_closed": float("nan"), "interval": None}
    lost = {"n": 3, "known_before": 0, "kept": 0, "lost": 0, "kept_share": None, "interval": None, "lost_answers": []}
    drift = {"prompts": 1, "tokens": 0, "mean_kl": float("inf"), "top1_agreement": float("nan")}
    found["forgetting"] = {
        "retention": lost,
        "drift": drift,
        "lm_eval": {"base": {}, "sft": {"t": {"acc": float("nan")}}},
    }
    return found


def test_a_number_that_is_none_is_none_in_the_data_of_the_page(tmp_path):
    page = report.render_html(dead_judge(tmp_path))
    body = page.split('id="data">')[1].split("</script>")[0]
    data = json.loads(body, parse_constant=lambda name: pytest.fail(f"no browser reads {name}"))
    assert data["compared"]["gap_closed"] == {"gap_closed": None, "interval": None}
    assert data["forgetting"]["drift"]["mean_kl"] is None and data["forgetting"]["lm_eval"]["sft"]["t"]["acc"] is None


@needs_chromium
def test_a_judge_that_failed_leaves_a_page_all_the_same(tmp_path):
    page = opened(tmp_path / "report.html", report.render_html(dead_judge(tmp_path)))
    assert "80%" in page.text  # the axis reaches the mark of string match, 75.0%, where the judge has no share
    assert "nothing can be compared" in page.text and "The judge failed" in page.text
    assert (
        "None of the 3 general questions with a verdict" in page.text and "()" not in page.text and "t acc" in page.text
    )
    assert "Question 3?" in page.text  # to the last section


@needs_chromium
def test_every_count_and_every_name_is_on_the_page(tmp_path):
    files = [f"reports/2026/minutes/of-the-board/{name}.txt" for name in ("april", "may", "june", "july")]
    base = [answer(n, f"ref{n}", file_name=files[n % 4]) for n in range(60)]
    sft = [*base[:-1], {**base[-1], "response": "no"}]
    page = opened(tmp_path / "report.html", report.render_html(gathered(tmp_path, sft, base)))
    assert "59 ties" in page.text and "1 loss" in page.text  # however short its bar
    for name in files:
        assert re.search(f"…[a-z/-]*{name[-12:]}", page.text)  # what tells one file from another
        assert page.text.count(name) >= 2  # whole: as the title of its row, and in the list of documents


@needs_chromium
def test_no_word_or_name_makes_the_page_wider_than_its_window(tmp_path):
    long = "Donaudampfschifffahrt" * 20
    sft = [{**row, "response": long, "question": long, "file_name": f"{long[:150]}{row['id']}.txt"} for row in SFT]
    found = gathered(tmp_path, sft, BASE) | {"judge": f"/models/{long}"}
    measure = "<script>document.body.dataset.over = document.documentElement.scrollWidth - innerWidth</script>"
    page = opened(tmp_path / "report.html", report.render_html(found) + OPEN_ALL + measure)
    (over,) = [int(value) for tag, name, value in page.attributes if (tag, name) == ("body", "data-over")]
    assert over <= 0


def test_the_page_can_be_printed():
    style = report.TEMPLATE.read_text(encoding="utf-8").split("</style>")[0]
    assert re.findall(r"@media ([^{]*dark[^{]*) \{", style) == [
        "screen and (prefers-color-scheme: dark)"
    ]  # paper is white
    assert re.search(r"svg \{[^}]*max-width: 100%; height: auto", style)  # a chart of a wide screen, on paper
    assert "viewBox" in report.TEMPLATE.read_text(encoding="utf-8") and "print-color-adjust: exact" in style


def told(verdict: str, match: str = "correct") -> dict:
    return {"verdict": verdict, "match": match, "response": "r"}


@pytest.mark.parametrize(
    ("row", "tags"),
    [
        ({"sft": told("correct"), "base": told("not attempted", "incorrect")}, ["learnt"]),
        ({"sft": told("incorrect", "incorrect"), "base": told("correct")}, ["lost"]),
        ({"sft": told("correct"), "base": told("correct")}, []),
        ({"sft": told("correct"), "base": told("incorrect")}, ["learnt", "disagree"]),
        ({"sft": told("not attempted", "incorrect"), "base": told("incorrect", "incorrect")}, []),
        ({"sft": told("unscored"), "base": told("unscored")}, []),
        ({"sft": told("correct"), "base": told("incorrect", "incorrect"), "kind": "unknown"}, []),
    ],
)
def test_which_filters_a_question_passes(row, tags):
    assert report_text.tags(row) == tags


def test_the_page_holds_its_data_and_loads_nothing(tmp_path):
    found = gathered(
        tmp_path, [answer(n, text) for n, text in enumerate(EVIL)], [answer(n, "no") for n in range(len(EVIL))]
    )
    page = report.render_html(found)
    body = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert [row["sft"]["response"] for row in json.loads(body)["questions"]] == EVIL
    assert page.count("</script>") == 2 and "<img" not in page
    assert not re.findall(r'(?:src|href)="(?!#)|url\(|@import|fetch\(|XMLHttpRequest', page)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page


def test_markdown_shows_markup_as_text(tmp_path):
    found = gathered(tmp_path, [answer(0, "ref0 <b>|`x`|</b>\n# no heading")], [answer(0, "no")])
    text = report_text.render_markdown(found)
    row = next(line for line in text.splitlines() if line.startswith("| Question 0?"))
    assert row == r"| Question 0? | ref0      | no   | ref0 \<b>\|\`x\`\|\</b> # no heading |"


def test_the_quote_is_the_sentence_with_the_fact(tmp_path):
    text = "A title\n\nAnn Pellow came in 1990. She keeps the lighthouse of Low Ferry. It is old.\n\nAnother one.\n"
    found = report.quote({"fact": "Ann Pellow keeps the lighthouse of Low Ferry.", "reference": "Ann Pellow"}, text)
    assert found["quote"] == "She keeps the lighthouse of Low Ferry."
    assert found["before"] == "Ann Pellow came in 1990. " and found["after"] == " It is old."
    exact = {"fact": "f", "source": {"start": 9, "end": 33, "quote": "Ann Pellow came in 1990."}}
    assert report.quote(exact, text)["quote"] == "Ann Pellow came in 1990."
    assert report.quote({"fact": "Something else entirely", "reference": "x"}, text) is None
