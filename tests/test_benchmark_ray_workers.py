"""The measurement of workers on Ray: its server, and when two datasets count as equal."""

from __future__ import annotations

import json

import pytest

from benchmarks import ray_workers
from utils import InputError


def test_datasets_are_equal_if_every_byte_of_every_file_is(tmp_path):
    for name in ("one", "two"):
        for file in ray_workers.FILES:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"the content of {file}")
    assert ray_workers.same_files(tmp_path, "one", "two")
    for file in ray_workers.FILES:
        path = tmp_path / "two" / file
        path.write_text("another")
        assert not ray_workers.same_files(tmp_path, "one", "two"), file
        path.write_text(f"the content of {file}")


def test_the_server_answers_from_the_text_of_a_request():
    asked = "Document: Works\n\n[1] Ada Delfin opened it.\n\n(End of the document)\n\nList every fact"
    answer = ray_workers.reads_well({"messages": [{"role": "user", "content": asked}]})
    assert answer.status == 200 and json.loads(answer.body["choices"][0]["message"]["content"])["facts"]


def test_a_folder_with_earlier_datasets_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ray_workers.py", str(tmp_path)])
    with pytest.raises(InputError, match="expected the path of a new folder"):
        ray_workers.main()
