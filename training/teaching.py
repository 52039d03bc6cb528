"""When the open-book teacher reads: before the first update, each rank its share of the passages, as far as there is time.

What it says is written passage by passage, so that a kill loses no more than one. A training that goes on, or starts again,
with the same rows, passages, model, tokenizer and settings reads nothing again.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import resource
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy
import torch
import transformers

from budget.clock import TEACHER_SHARE, Clock
from data_processor.dataset import to_messages
from engines.adapter import weights_fingerprint
from training import ranks
from training.data import LazySupervisedDataset
from training.distillation import LEAST_RIGHT, RECORD, TOP
from training.layout import is_zero3
from training.open_book import (
    WITH_ANSWER,
    WITH_PASSAGE,
    TeacherPrompt,
    chunks_beside,
    read_chunks,
    rows_by_chunk,
    teacher_prompts,
)
from training.read_back import compute_precision
from training.taught import FILE, TaughtExamples
from training.teacher import COMPARED, can_share_passage, plan_reading, read, untrained
from utils import InputError, read_json, write_json

SAID_AFTER = 3  # passages read, by which the rest is estimated

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Teacher(transformers.TrainerCallback):
    """Reads the passages of `examples` before the first update, and keeps what it says in files in `folder`.

    Under ZeRO-3 no model can run before DeepSpeed's engine is there: then it reads when the training begins.
    """

    model: torch.nn.Module
    examples: TaughtExamples
    passages: list[str]  # one for each group of the examples
    rows_without: int  # that have no passage; replayed ones are not counted
    settings: tuple  # what the model says depends on, besides rows and passages
    training: transformers.TrainingArguments
    clock: Clock
    seconds: float = 0.0
    peak_mb: float = 0.0
    has_read: bool = False

    def __post_init__(self):
        self.folder, self.rank = Path(self.training.output_dir), self.training.process_index
        self.mine = list(zip(self.examples.groups, self.passages, strict=True))[self.rank :: self.training.world_size]
        self.path = self.folder / FILE.format(self.rank)
        self.mark = self.path.with_suffix(".json")
        self.precision = compute_precision(self.training)
        self.longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or math.inf

    def on_train_begin(self, args, state, control, **_):
        """Read here if that was not possible before."""
        if self.has_read:
            return
        trained = state.global_step and not hasattr(self.model, "peft_config")
        if trained and not ranks.minimum([self.is_done(self.identity())])[0]:
            raise InputError(
                f"expected the teacher's files of this training in {self.folder}, found none that fit, and the weights are "
                "no longer the untrained model's: start again in another --output_dir, or with --use_lora True"
            )
        self.read_all()

    def read_all(self) -> None:
        """Read what is in no file yet, open the files of all ranks, and say what came of it."""
        began, memory, identity = time.monotonic(), start_measuring(self.training.device), self.identity()
        reused = bool(ranks.minimum([self.is_done(identity)])[0])
        mark = self.read_mark(identity)
        if not reused:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                ends = [0, *self.examples.ends[self.rank]]
                done = sum(end * RECORD.itemsize <= file.tell() for end in ends[1:]) if mark else 0
                if is_zero3(self.training):
                    done = int(ranks.minimum([done])[0])
                file.truncate(ends[min(done, len(ends) - 1)] * RECORD.itemsize)
                # Only now that what was computed from something else is gone:
                write_json(self.mark, {"of": identity, "seconds": mark.get("seconds", 0.0)})
                self.read_groups(file, done)
            self.seconds = mark.get("seconds", 0.0) + time.monotonic() - began
            written = {"seconds": round(self.seconds, 1), "bytes": self.path.stat().st_size}
            write_json(self.mark, {"of": identity, **written})
        else:
            self.seconds = mark["seconds"]
        self.peak_mb = stop_measuring(self.training.device, memory)
        ranks.barrier()
        self.examples.open_files(self.folder)
        self.has_read = True
        if self.rank == 0:
            log.info("%s", self.describe(reused))

    def read_groups(self, file: BinaryIO, done: int) -> None:
        """Read this rank's passages from number `done` on, as far as the time allows, and append the records to `file`."""
        in_step = is_zero3(self.training)  # the ranks share the weights: all run the same number of passes
        limit = TEACHER_SHARE * self.clock.left() if self.clock.limited else math.inf
        rounds, began, slowest = -(-len(self.examples.groups) // self.training.world_size), time.monotonic(), 0.0
        with untrained(self.model, self.precision):
            first = max(self.examples.groups, key=len)
            passage = self.passages[self.examples.groups.index(first)]
            shares = can_share_passage(self.model, flat(self.prompts(first[:COMPARED], passage)), self.precision)
            if not shares and self.rank == 0:
                log.info(
                    "%s cannot go on from a passage read before: it is read for each row", type(self.model).__name__
                )
            for number in range(done, rounds):
                round_began = time.monotonic()
                prompts = self.prompts(*self.mine[number]) if number < len(self.mine) else []
                reading = plan_reading([one for one in flat(prompts) if self.fits(one)], shares)
                passes, late = reading.passes, round_began - began + slowest > limit
                if in_step:
                    passes, late = map(int, ranks.maximum([passes, late]))
                if late:
                    return
                records = iter(read(self.model, reading))
                for one in flat(prompts):
                    file.write((next(records) if self.fits(one) else unread(len(one.answer))).tobytes())
                for _ in range(passes - reading.passes):
                    self.model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.model.device), use_cache=False)
                file.flush()
                os.fsync(file.fileno())
                slowest = max(slowest, time.monotonic() - round_began)
                if number + 1 - done == SAID_AFTER and self.rank == 0:
                    expected = (time.monotonic() - began) / SAID_AFTER * (rounds - done)
                    log.info("the teacher reads %d passages, in about %.0f s", len(self.passages), min(expected, limit))

    def prompts(self, rows: array, passage: str) -> list[list[TeacherPrompt]]:
        """What the teacher reads for each of the rows."""
        known = self.examples.examples
        return [teacher_prompts(known.rows[row], passage, known.tokenizer, known.system_prompt) for row in rows]

    def fits(self, one: TeacherPrompt) -> bool:
        """Whether the model can read as much at once."""
        return len(one.prompt) + len(one.answer) <= self.longest

    def identity(self) -> str:
        """A hash of all that the records depend on."""
        known = self.examples.examples
        tokenizer = known.tokenizer
        found = hashlib.sha256(repr((self.settings, self.precision, TOP, WITH_PASSAGE, WITH_ANSWER)).encode())
        found.update(repr((known.system_prompt, tokenizer.chat_template, self.training.world_size)).encode())
        found.update(repr(sorted(tokenizer.get_vocab().items())).encode())
        for rows, passage in zip(self.examples.groups, self.passages, strict=True):
            texts = [(to_messages(known.rows[row]), known.rows[row].get("unfinished", False)) for row in rows]
            found.update(repr((list(rows), passage, texts)).encode())
        return found.hexdigest()[:16]

    def read_mark(self, identity: str) -> dict:
        """What stands beside this rank's file, if that was computed from the same; otherwise nothing."""
        mark = read_json(self.mark, "what a teacher's file is of") if self.mark.is_file() else {}
        return mark if mark.get("of") == identity and self.path.is_file() else {}

    def is_done(self, identity: str) -> bool:
        """Whether this rank's file is whole, or as far as the time allowed."""
        return self.read_mark(identity).get("bytes", -1) == (self.path.stat().st_size if self.path.is_file() else None)

    def report(self) -> dict:
        """For the meta file: rows and trained tokens, by what the teacher says of them, and what it took."""
        said = [file["right"] for file in self.examples.files]
        tokens = sum(map(len, said))
        rows, taught = sum(map(len, self.examples.groups)), self.examples.rows_read()
        return {
            "rows": taught,
            "rows_without_passage": self.rows_without,
            "rows_not_read": rows - taught,
            "tokens": tokens,
            "tokens_too_long": sum(int(numpy.isneginf(right).sum()) for right in said),
            "tokens_below_half": sum(int((right < LEAST_RIGHT).sum()) for right in said),
            "seconds": round(self.seconds, 1),
            "file_mb": round(tokens * RECORD.itemsize / 1e6, 1),
            "peak_mb": round(self.peak_mb),
        }

    def describe(self, reused: bool) -> str:
        """The report as a line of text."""
        found = self.report()
        how = f"read in {found['seconds']:.0f} s, with {found['peak_mb']} MB more at the peak"
        how = "as read before" if reused else how
        below = found["tokens_below_half"] / max(found["tokens"], 1)
        left = found["rows_without_passage"] + found["rows_not_read"]
        more = f"; {left} rows have plain cross-entropy" if left else ""
        more += f" ({found['rows_not_read']} for lack of time)" if found["rows_not_read"] else ""
        return (
            f"teacher: {found['rows']} rows with their passages, {how}; {found['tokens']} tokens in "
            f"{found['file_mb']:.1f} MB, {below:.0%} of them plain cross-entropy, as the teacher gives them less than one "
            f"half{more}"
        )


def make_teacher(model, examples: LazySupervisedDataset, name: str, data, training, clock: Clock) -> Teacher | None:
    """The teacher that --distill_weight asks for, which has read if it can; None without a weight or any passage.

    `name` is the model's, `data` and `training` are the arguments of finetune.py.
    """
    if not training.distill_weight:
        return None
    chunks = read_chunks(data.data_path)
    rows, without = rows_by_chunk(examples.rows, chunks)
    if not rows:
        log.info(
            "expected the passages of rows in %s, found none of %d: plain cross-entropy for all, as with --distill_weight 0",
            chunks_beside(data.data_path), without,
        )  # fmt: skip
        return None
    keys = list(rows)
    random.Random(training.seed).shuffle(keys)  # if the time does not suffice, what is left out is of all documents
    taught = TaughtExamples(examples, [rows[key] for key in keys], training.world_size)
    in_4_bits = bool(getattr(model, "is_loaded_in_4bit", False))
    settings = (name, weights_fingerprint(name), in_4_bits, training.attention)
    teacher = Teacher(model, taught, [chunks[key] for key in keys], without, settings, training, clock)
    if not is_zero3(training):
        teacher.read_all()
    return teacher


def unread(count: int) -> numpy.ndarray:
    """Records of tokens that the teacher could not read: none of them is compared."""
    records = numpy.zeros(count, RECORD)
    records["right"] = -math.inf
    return records


def flat(lists: list[list[TeacherPrompt]]) -> list[TeacherPrompt]:
    return [one for prompts in lists for one in prompts]


def start_measuring(device: torch.device) -> int:
    """The bytes in use from which `stop_measuring` counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # in KiB on Linux


def stop_measuring(device: torch.device, before: int) -> float:
    """By how many MB the most memory in use rose since `start_measuring`: on a GPU, or of the process."""
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    return ((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before) / 1e6
