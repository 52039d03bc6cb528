"""What stages say of their time: read back by name, from files of this version and of earlier ones."""

from __future__ import annotations

import dataclasses
import json

import pytest
from runs import asking_time, collection_time

from budget.reports import AskingTime, CollectionTime, read_report
from utils import InputError


def test_what_a_stage_said_is_read_by_name(tmp_path):
    meta = tmp_path / "base.meta.json"
    assert read_report(meta, AskingTime) is None
    meta.write_text(json.dumps({"seconds": 3}))
    assert read_report(meta, AskingTime) is None, "the stage had no budget"
    meta.write_text(json.dumps({"budget": {**asking_time(left_out=15), "of_another_version": 1}}))
    report = read_report(meta, AskingTime)
    assert report == AskingTime(seconds=100.0, seconds_to_start=4.0, seconds_a_question=0.5, questions=60, left_out=15)
    assert report.asked == 45


def test_a_field_that_is_missing_is_named(tmp_path):
    meta, found = tmp_path / "data.meta.json", collection_time()
    del found["units"], found["seconds_a_call"]
    meta.write_text(json.dumps({"budget": found}))
    with pytest.raises(
        InputError, match=r"expected seconds_a_call, units in the budget of .*data\.meta\.json, found none"
    ):
        read_report(meta, CollectionTime)


def test_a_meta_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "data.meta.json").write_text("{")
    with pytest.raises(InputError, match=r"^expected a meta file as JSON at .*data\.meta\.json, found "):
        read_report(tmp_path / "data.meta.json", CollectionTime)


def test_the_keys_are_those_of_earlier_files():
    """results/ and the folders of users have them."""
    assert [field.name for field in dataclasses.fields(CollectionTime)] == [
        "seconds", "seconds_to_start", "documents", "documents_covered", "units", "units_done", "sentences",
        "sentences_read", "role_units", "role_units_done", "unknown_asked", "share_read", "seconds_of_all_facts",
        "seconds_of_a_role", "seconds_a_call", "stopped_by_signal",
    ]  # fmt: skip
