"""From conversations to tensors: which tokens are trained, how over-long examples are split, which facts are held out."""

from __future__ import annotations

import copy
import functools
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from torch.utils.data import Dataset

from data_processor.dataset import to_messages
from data_processor.parts import Digests
from engines.chat import with_system_prompt
from engines.chat_template import answer_text, prompt_text, render
from utils import InputError

IGNORED = -100  # the label of a token that is read but not trained
CACHED_EXAMPLES = 4096  # tokenised examples that LazySupervisedDataset keeps, some megabytes
MEASURED_EXAMPLES = 64  # to convert bytes to tokens
CONTEXT_DIVISOR = 4  # one part in this many of a split piece repeats the text before it, untrained


def preprocess(
    messages: list[dict[str, str]],
    tokenizer,
    system_prompt: str | None,
    max_length: int | None = None,
    name: str = "a conversation",
    unfinished: bool = False,
) -> dict:
    """The only example of a conversation: see `to_examples`; InputError if it gives several."""
    examples = to_examples(messages, tokenizer, system_prompt, max_length, name, unfinished)
    if len(examples) > 1:
        raise InputError(
            f"expected a chat template that leaves earlier turns as they are, found that of {tokenizer.name_or_path} "
            f"rewriting them in {name}: make each answer a separate example"
        )
    return examples[0]


def to_examples(
    messages: list[dict[str, str]],
    tokenizer,
    system_prompt: str | None,
    max_length: int | None = None,
    name: str = "a conversation",
    unfinished: bool = False,
) -> list[dict]:
    """Turn one conversation into tokens: [{"input_ids": [T], "labels": [T]}], most often a single one.

    Labels are IGNORED except on the assistant's words and on the token that ends its turn, at which generation stops.
    The prompt is tokenised without its answer, as at inference, so that its tokens are the same. Where the template
    rewrites earlier turns (Qwen3, Mistral, gpt-oss), each answer is an example of its own, under the prompt that it would
    be asked with. An `unfinished` conversation was cut off in its last turn, which is then trained without the end token.
    """

    def tokens(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    examples: list[dict] = []
    text_so_far = ""
    for prompt, answer in trained_parts(messages, tokenizer, system_prompt, name):
        if not examples or not prompt.startswith(text_so_far):
            examples.append({"input_ids": [], "labels": []})
            text_so_far = ""
        input_ids, labels = examples[-1]["input_ids"], examples[-1]["labels"]
        prompt_ids = tokens(prompt)
        if prompt_ids[: len(input_ids)] != input_ids:
            prompt_ids = input_ids + tokens(prompt[len(text_so_far) :])
        full_ids = tokens(prompt + answer)
        # A SentencePiece tokenizer would put a space before an answer tokenised on its own.
        answer_ids = full_ids[len(prompt_ids) :] if full_ids[: len(prompt_ids)] == prompt_ids else tokens(answer)
        labels += [IGNORED] * (len(prompt_ids) - len(labels)) + answer_ids
        examples[-1]["input_ids"], text_so_far = prompt_ids + answer_ids, prompt + answer
    if unfinished:
        del examples[-1]["input_ids"][-1], examples[-1]["labels"][-1]
    longest = max(len(example["input_ids"]) for example in examples)
    if max_length is not None and longest > max_length:
        raise InputError(
            f"expected at most {max_length} tokens in an example, found {longest} in {name}: shorten it, raise "
            "--model_max_length, or add --split_long_examples True"
        )
    return examples


def split_example(example: dict, max_length: int, name: str) -> list[dict]:
    """Split an example into pieces of at most `max_length` tokens, so that each trained token is trained once.

    Every piece begins with all that precedes the first trained token; later pieces then repeat the end of the
    previous one, untrained, so that no text starts out of nowhere.
    """
    ids, labels = example["input_ids"], example["labels"]
    if len(ids) <= max_length:
        return [example]
    head = next(place for place, label in enumerate(labels) if label != IGNORED)
    room = max_length - head
    if room < max_length / 2:
        raise InputError(
            f"expected a question that leaves half of {max_length} tokens for its answer, found {head} tokens before "
            f"the answer in {name}: shorten it or raise --model_max_length"
        )
    pieces, start = [], head
    while start < len(ids):
        context = min(room // CONTEXT_DIVISOR, start - head)
        stop = min(start - context + room, len(ids))
        kept = range(start - context, stop)
        piece = {
            "input_ids": ids[:head] + [ids[i] for i in kept],
            "labels": labels[:head] + [IGNORED] * context + labels[start:stop],
        }
        if any(label != IGNORED for label in piece["labels"]):
            pieces.append(piece)
        start = stop
    return pieces


class LazySupervisedDataset(Dataset):
    """Examples tokenised on demand; the last CACHED_EXAMPLES are kept.

    Rows that could be longer than `max_length` are tokenised at the start, so that none stops a training hours later:
    a token is at least a byte, so these are few. So are rows of several answers, if the template makes each an example of
    its own. `lengths` are estimates, in tokens, for batches of similar length.
    """

    def __init__(
        self,
        rows: Sequence[dict],
        tokenizer,
        system_prompt: str | None,
        max_length: int,
        split_long: bool = False,
    ):
        self.rows, self.tokenizer, self.system_prompt = rows, tokenizer, system_prompt
        self.max_length, self.split_long = max_length, split_long
        self._prepare()

    def with_rows(self, rows: Sequence[dict]) -> LazySupervisedDataset:
        """These examples, and those of more rows after them."""
        more = copy.copy(self)
        more.rows = self.rows + rows
        more._prepare()
        return more

    def _prepare(self) -> None:
        self.pieces: list[tuple[int, int]] = []  # (row, piece) of the additional pieces of split rows, after all rows
        self._pieces_of_row = functools.lru_cache(maxsize=CACHED_EXAMPLES)(self._tokenise)
        self.lengths = self._measure()

    def _measure(self) -> Sequence[int]:
        """The length of each example; those that are too long are split, or refused by name."""
        frame = len(self._text([{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}]).encode())
        frame -= len("?.")  # an empty turn would be refused by some templates
        rewritten = rewrites_history(self.tokenizer)
        lengths = array("q")
        for index, row in enumerate(self.rows):
            messages = to_messages(row)
            size = sum(len(message["content"].encode()) + frame for message in messages)
            lengths.append(size)
            answers = sum(message["role"] == "assistant" for message in messages)
            if size > self.max_length or (answers > 1 and rewritten):
                self.pieces += [(index, piece) for piece in range(1, len(self._pieces_of_row(index)))]
        lengths.extend(lengths[row] for row, _ in self.pieces)
        return self._bytes_to_tokens(lengths)

    def _bytes_to_tokens(self, lengths: array) -> array:
        """Convert bytes to tokens, by the ratio in a few rows."""
        sample = range(0, len(self.rows), max(1, len(self.rows) // MEASURED_EXAMPLES))
        tokens = sum(len(piece["input_ids"]) for index in sample for piece in self._tokenise(index))
        share = tokens / max(sum(lengths[index] for index in sample), 1)
        return array("q", (max(1, round(share * length)) for length in lengths))

    def _text(self, messages: list[dict[str, str]]) -> str:
        parts = trained_parts(messages, self.tokenizer, self.system_prompt, "a plain question and answer")
        return "".join(map("".join, parts))

    def _tokenise(self, index: int) -> list[dict]:
        """The pieces of one row: a single one unless the row is too long, or the template rewrites earlier turns."""
        row = self.rows[index]
        name = f"example {row.get('id', index)}"
        examples = to_examples(
            to_messages(row),
            self.tokenizer,
            self.system_prompt,
            None if self.split_long else self.max_length,
            name,
            unfinished=row.get("unfinished", False),
        )
        pieces = [piece for example in examples for piece in split_example(example, self.max_length, name)]
        return [{**piece, "replay": row.get("kind") == "replay"} for piece in pieces]

    def __len__(self) -> int:
        return len(self.rows) + len(self.pieces)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row, piece = self._locate(index)
        return {**self._pieces_of_row(row)[piece], "index": index}

    def _locate(self, index: int) -> tuple[int, int]:
        """The row an example comes from, and which piece of it the example is."""
        return (index, 0) if index < len(self.rows) else self.pieces[index - len(self.rows)]

    def place(self, index: int) -> tuple[int, int]:
        """The row an example comes from, and how many trained tokens of that row are in earlier examples of it."""
        row, piece = self._locate(index)
        return row, sum(map(trained_count, self._pieces_of_row(row)[:piece]))

    def trained_in_row(self, row: int) -> int:
        """The number of trained tokens in all examples of one row."""
        return sum(map(trained_count, self._pieces_of_row(row)))

    def name(self, index: int) -> str:
        """The id by which a person finds an example in its file."""
        row, _ = self._locate(index)
        return str(self.rows[row].get("id", row))


class SupervisedDataset(LazySupervisedDataset):
    """Examples tokenised at the start and kept; `lengths` are exact, in tokens."""

    examples: Sequence[list[dict]] = ()  # the pieces of each row

    def _measure(self) -> list[int]:
        self.examples = [*self.examples, *map(self._tokenise, range(len(self.examples), len(self.rows)))]
        self._pieces_of_row = self.examples.__getitem__
        self.pieces = [(row, piece) for row, pieces in enumerate(self.examples) for piece in range(1, len(pieces))]
        return [len(self[index]["input_ids"]) for index in range(len(self))]


def trained_count(example: dict) -> int:
    """The number of trained tokens in an example."""
    return sum(label != IGNORED for label in example["labels"])


def fact_of(row: dict) -> str:
    """The fact an example teaches; rows with the same fact are wordings of it."""
    return str(row.get("fact_id") or row.get("fact") or row["id"])


def count_facts(rows: Iterable[dict]) -> int:
    """How many facts the rows teach; of each only a digest is in memory."""
    facts = Digests()
    for row in rows:
        facts.add(fact_of(row))
    return len(facts)


def split_by_fact(rows: list[dict], size: int, seed: int) -> tuple[Sequence[dict], Sequence[dict]]:
    """Hold out whole facts, at least `size` examples of them, so that no wording of a held-out fact is trained."""
    fact_of_row = [fact_of(row) for row in rows]
    examples_of = Counter(fact_of_row)
    facts = sorted(examples_of)
    random.Random(seed).shuffle(facts)
    held_out_facts: set[str] = set()
    held_out_count = 0
    while facts and held_out_count < size:
        fact = facts.pop()
        held_out_facts.add(fact)
        held_out_count += examples_of[fact]
    if not facts:
        raise InputError(
            f"expected more than {size} examples to hold out whole facts, found {len(rows)}: lower --validation_size"
        )
    kept = [index for index, fact in enumerate(fact_of_row) if fact not in held_out_facts]
    out = [index for index, fact in enumerate(fact_of_row) if fact in held_out_facts]
    return select_rows(rows, kept), select_rows(rows, out)


def select_rows(rows: Sequence[dict], indices: list[int]) -> Sequence[dict]:
    """Some of the rows, as a list; for a RowFile, another view of the same file."""
    return rows.select(indices) if hasattr(rows, "select") else [rows[index] for index in indices]


def trained_parts(
    messages: list[dict[str, str]], tokenizer, system_prompt: str | None, name: str
) -> Iterator[tuple[str, str]]:
    """For each assistant turn: (all text before it, the text to train including the token that ends the turn).

    The text before it is what inference sends. An example with its own system message keeps it; `system_prompt` is for
    those without. Thoughts are left out. InputError if the template refuses the conversation.
    """
    if messages[0]["role"] != "system":
        messages = with_system_prompt(messages, system_prompt)
    answers = [turn for turn, message in enumerate(messages) if message["role"] == "assistant"]
    if len(answers) > 1:
        render(tokenizer, messages, False, name)  # to be refused, where turns do not alternate
    for turn in answers:
        yield prompt_text(tokenizer, messages[:turn], name), answer_text(tokenizer, messages[turn]["content"], name)


def rewrites_history(tokenizer) -> bool:
    """Whether an answer of several is an example of its own, with a system prompt at least."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Yes."}]
    return len(to_examples([*turns, *turns], tokenizer, "Be brief.", name="two questions")) > 1
