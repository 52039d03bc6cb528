"""How a model's chat template renders a conversation, and how a turn ends: the same in training and whenever it is asked.

    prompt_text(tokenizer, messages)     # what the model reads before its answer
    answer_text(tokenizer, answer)       # what it is to write then, with the token that ends its turn

Nothing here depends on a model's name or on the {% generation %} marks, which few templates have. A model is asked not to
think where its template can (THINKING_OFF); where it cannot, the prompt closes the thought or opens the final channel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engines.thoughts import without_thoughts
from utils import InputError

PROBE = "KNOWLEDGE-UPDATE-PROBE"  # an answer that occurs in no template
THINKING_OFF = {"enable_thinking": False, "thinking": False}  # Qwen3, GLM, SmolLM3; DeepSeek V3.1, Granite
MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))  # of a thought, in templates
QUESTION = {"role": "user", "content": "?"}


class Frame(NamedTuple):
    """What a template puts around an answer.

    `prefix` is what the prompt of the template lacks before an answer without a thought; `lead` is white space that the
    model writes itself before its first word (Mistral, GLM); `tail` is what it writes after its last one, up to `end`, the
    token that ends its turn.
    """

    prefix: str
    lead: str
    tail: str
    end: str


def prompt_text(tokenizer, messages: list[dict[str, str]], name: str = "a question") -> str:
    """What the model reads before it answers these turns; `name` is for errors."""
    return render(tokenizer, messages, True, name) + answer_frame(tokenizer).prefix


def prompt_ids(tokenizer, messages: list[dict[str, str]], name: str = "a question") -> list[int]:
    """The tokens of `prompt_text`. The template writes the BOS token itself, if there is to be one."""
    return tokenizer(prompt_text(tokenizer, messages, name), add_special_tokens=False).input_ids


def padded_on_the_left(prompts: list[list[int]], token: int, device):
    """(input_ids, attention_mask) of prompts of N tokens and fewer, both (B, N); `token` stands where the mask is 0."""
    import torch

    width = max(map(len, prompts))
    ids = [[token] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def answer_text(tokenizer, answer: str, name: str = "an answer") -> str:
    """What the model is to write after a prompt: the answer as the template writes it, and the end of its turn."""
    frame = answer_frame(tokenizer)
    for _ in range(2):  # the date in a template may change between two renderings, but not twice
        before, _, after = render(tokenizer, answered(PROBE), False, name).rpartition(PROBE)
        whole = render(tokenizer, answered(answer), False, name)
        if whole.startswith(before) and whole.endswith(after) and len(whole) >= len(before) + len(after):
            return frame.lead + whole[len(before) : len(whole) - len(after)] + frame.tail
    raise InputError(
        f"expected a chat template that writes the same around every answer, found that of {tokenizer.name_or_path} "
        f"changing it for {name}: correct the answer, or the template"
    )


def render(tokenizer, messages: list[dict[str, str]], add_generation_prompt: bool, name: str) -> str:
    """The rendered text; InputError if there is no template or it refuses these turns."""
    turns = [
        {**turn, "content": without_thoughts(turn["content"])[0]} if turn["role"] == "assistant" else turn
        for turn in messages
    ]
    if turns[0]["role"] == "system" and not takes_system_turn(tokenizer):
        turns = system_in_question(turns)
    return apply_template(tokenizer, turns, add_generation_prompt, name)


def apply_template(tokenizer, turns: list[dict[str, str]], add_generation_prompt: bool, name: str) -> str:
    """The text of exactly these turns; InputError if there is no template or it refuses them."""
    import jinja2

    model = tokenizer.name_or_path
    try:
        return tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt, **THINKING_OFF
        )
    except jinja2.UndefinedError as error:  # such as "'eos_token' is undefined"
        raise InputError(
            f"expected a tokenizer with all that its chat template uses, found that of {model} failing on {name}: {error}: "
            "if it names a token, set it in tokenizer_config.json"
        ) from None
    except jinja2.TemplateError as error:  # such as Gemma's "Conversation roles must alternate"
        raise InputError(
            f"expected turns that the chat template of {model} accepts, found that it refuses {name}: {error}: correct the "
            "example"
        ) from None
    except ValueError:
        raise InputError(f"expected a chat template with {model}, found none: give its instruct version") from None


def cache_key(tokenizer) -> tuple[str, ...]:
    """What decides how a tokenizer renders and ends a turn; a tokenizer may be given another template."""
    return str(tokenizer.chat_template), str(tokenizer.eos_token), str(tokenizer.bos_token), tokenizer.name_or_path


def takes_system_turn(tokenizer) -> bool:
    """Whether the system prompt is in the text: Gemma 2 refuses such a turn, and older templates leave it out in silence."""
    return find_system_turn(tokenizer, *cache_key(tokenizer))


@lru_cache(maxsize=8)
def find_system_turn(tokenizer, *_key: str) -> bool:
    turns = [{"role": "system", "content": PROBE}, QUESTION]
    try:
        return PROBE in apply_template(tokenizer, turns, True, "a system prompt")
    except InputError:
        return False


def system_in_question(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system prompt put before the first question, as Gemma 3's template does it."""
    system, *rest = turns
    for place, turn in enumerate(rest):
        if turn["role"] == "user" and system["content"]:
            rest[place] = {**turn, "content": f"{system['content']}\n\n{turn['content']}"}
            break
    return rest


def answered(answer: str, *more: dict[str, str]) -> list[dict[str, str]]:
    return [QUESTION, {"role": "assistant", "content": answer}, *more]


def answer_frame(tokenizer) -> Frame:
    """What the template puts around an answer; InputError if that cannot be found out."""
    return find_frame(tokenizer, *cache_key(tokenizer))


@lru_cache(maxsize=8)
def find_frame(tokenizer, *_key: str) -> Frame:
    """The Frame, found by rendering an answer that occurs nowhere else."""
    name = "a plain question and answer"
    prompt = render(tokenizer, [QUESTION], True, name)
    before, found, after = render(tokenizer, answered(PROBE), False, name).rpartition(PROBE)
    if not found:
        raise InputError(
            f"expected the words of an answer in the text of a chat template, found that {tokenizer.name_or_path} leaves "
            "them out, so that nothing would be trained: give a template that writes the turns of the assistant"
        )
    end = end_after(tokenizer, after, name)
    tail = after[: after.index(end)] + end if end in after else end
    opened = next((marks for marks in MARKS if prompt.rstrip().endswith(marks[0])), None)
    if before.startswith(prompt):
        prefix, lead = split_lead(tokenizer, before[len(prompt) :])
        return Frame(prefix, lead, tail, end)
    if opened and before.startswith(prompt.rstrip().removesuffix(opened[0]).rstrip()):
        blank = "\n" if prompt.endswith("\n") else "\n\n"
        return Frame(f"{blank}{opened[1]}\n\n", "", tail, end)
    raise InputError(
        f"expected a chat template whose answers follow its generation prompt, found that of {tokenizer.name_or_path} "
        f"writing {prompt[-40:]!r} in a prompt and {before[-40:]!r} before an answer: mend the template"
    )


def split_lead(tokenizer, text: str) -> tuple[str, str]:
    """Divide what stands between prompt and answer: up to its last token of the template or mark of a thought, and the rest.

    gpt-oss: ("<|channel|>final<|message|>", ""); GLM: ("", "\\n"), which the model writes itself.
    """
    marks = [mark for pair in MARKS for mark in pair] + [token.content for token in special_tokens(tokenizer)]
    stop = max((text.rfind(mark) + len(mark) for mark in marks if mark in text), default=0)
    stop += len(text[stop:]) - len(text[stop:].lstrip()) if stop else 0
    if text[stop:].strip():  # a header in plain words, which the template does not write in its prompt
        stop = len(text)
    return text[:stop], text[stop:]


def special_tokens(tokenizer) -> list:
    return [token for token in tokenizer.added_tokens_decoder.values() if token.content.strip()]


def end_after(tokenizer, after: str, name: str) -> str:
    """The token that ends a turn, from the text after an answer: see `end_of_turn`."""
    names = {token.content for token in special_tokens(tokenizer)}
    token = first_token(tokenizer, after, names)
    if token is None:  # none of its own: GLM's turns end where the next one begins
        try:
            longer = render(tokenizer, answered(PROBE, QUESTION), False, name).rpartition(PROBE)[2].lstrip()
        except InputError:
            longer = ""
        token = first_token(tokenizer, longer, names)
        token = token if token and longer.startswith(token) else tokenizer.eos_token
    if token is None:
        raise InputError(
            f"expected a token that ends a turn, found none in the chat template of {tokenizer.name_or_path} and no "
            "eos_token in its tokenizer: set eos_token in tokenizer_config.json"
        )
    return token


def first_token(tokenizer, text: str, names: set[str]) -> str | None:
    """The first of the added tokens `names` in a text."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return next((token for token in tokenizer.convert_ids_to_tokens(ids) if token in names), None)


def end_of_turn(tokenizer) -> str:
    """The token that ends an assistant's turn: the template's own, else the one that begins the next turn, else EOS.

    They differ: Gemma ends its turns with <end_of_turn> and its texts with <eos>, the base models of Qwen2.5 have
    <|im_end|> in the template but <|endoftext|> as EOS, and GLM writes nothing, so that <|user|> ends an answer.
    """
    return answer_frame(tokenizer).end


def stop_token_ids(model, tokenizer) -> list[int]:
    """The tokens that end a turn: the tokenizer's own first, then the template's and those in the generation config."""
    ids: list[int] = []
    configured = model.generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    ending = tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
    for token in [tokenizer.eos_token_id, ending, *configured]:
        if token is not None and token not in ids:
            ids.append(token)
    return ids


def padding_id(tokenizer) -> int:
    """The token that fills up a batch: any will do, as no mask depends on it."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    return tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))
