"""The training examples with what the open-book teacher says of them, from files beside the adapter.

Each rank writes `teacher.RANK.bin`: for its share of the passages, row by row, a RECORD for every trained token. The
folder is one that all ranks see, as for checkpoints.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy
from torch.utils.data import Dataset

from training.data import LazySupervisedDataset
from training.distillation import RECORD

FILE = "teacher.{}.bin"  # of a rank, in --output_dir; beside it a .json with what it was computed from


class TaughtExamples(Dataset):
    """Examples with `teacher`, RECORD (n,) for their n trained tokens, as soon as `open_files` finds any.

    `groups` are the rows of each passage, which the ranks take in turns. Examples of other rows stay as they are.
    """

    def __init__(self, examples: LazySupervisedDataset, groups: list[array], ranks_in_all: int):
        self.examples, self.lengths = examples, examples.lengths
        self.groups = groups
        self.totals = [0] * ranks_in_all  # records each rank will write
        self.ends = [[] for _ in range(ranks_in_all)]  # of each of its groups, in records
        self.files: list[numpy.ndarray] = []
        self._file_of = array("q", [-1]) * len(examples.rows)
        self._start_of = array("q", [0]) * len(examples.rows)
        for number, group in enumerate(groups):
            rank = number % ranks_in_all
            for row in group:
                self._file_of[row], self._start_of[row] = rank, self.totals[rank]
                self.totals[rank] += examples.trained_in_row(row)
            self.ends[rank].append(self.totals[rank])

    def open_files(self, folder: Path) -> None:
        """Take what is in the files of all ranks."""
        paths = [folder / FILE.format(rank) for rank in range(len(self.totals))]
        self.files = [
            numpy.memmap(path, RECORD, "r") if path.is_file() and path.stat().st_size else numpy.empty(0, RECORD)
            for path in paths
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict:
        example = self.examples[index]
        row, before = self.examples.place(index)
        records = self.records_of(row)
        if records is None:
            return example
        count = sum(label >= 0 for label in example["labels"])
        return {**example, "teacher": records[before : before + count]}

    def records_of(self, row: int) -> numpy.ndarray | None:
        """What the teacher says of one row, RECORD (n,); None if it has not read it."""
        rank, start = self._file_of[row], self._start_of[row]
        if rank < 0 or not self.files:
            return None
        end = start + self.examples.trained_in_row(row)
        return self.files[rank][start:end] if end <= len(self.files[rank]) else None

    def rows_read(self) -> int:
        """The number of rows of which the files say something."""
        in_all, known = len(self.totals), [len(file) for file in self.files]
        return sum(
            len(group)
            for number, group in enumerate(self.groups)
            if self.ends[number % in_all][number // in_all] <= known[number % in_all]
        )

    def name(self, index: int) -> str:
        return self.examples.name(index)


def remove_teacher(folder: Path) -> None:
    """Remove the files of all ranks."""
    for path in (*folder.glob(FILE.format("*")), *folder.glob(Path(FILE).with_suffix(".json").name.format("*"))):
        path.unlink()
