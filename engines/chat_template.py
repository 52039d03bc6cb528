"""How a model's chat template renders a conversation, and how a turn ends.

Nothing here depends on a model's name or on the {% generation %} marks, which few templates have.
"""

from __future__ import annotations

from utils import InputError

PROBE = "KNOWLEDGE-UPDATE-PROBE"  # an answer that occurs in no template


def render(tokenizer, messages: list[dict[str, str]], add_generation_prompt: bool, name: str) -> str:
    """The rendered text; InputError if there is no template or it refuses these turns."""
    import jinja2

    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    except jinja2.TemplateError as error:  # such as Gemma's "System role not supported"
        raise InputError(
            f"expected turns that the chat template of {tokenizer.name_or_path} accepts, found that it refuses {name}: "
            f"{error}: correct the example, or leave --system_prompt out"
        ) from None
    except ValueError:
        raise InputError(
            f"expected a chat template with {tokenizer.name_or_path}, found none: give its instruct version"
        ) from None


def end_of_turn(tokenizer) -> str:
    """The token that ends an assistant's turn: the template's own if it writes one, otherwise the tokenizer's EOS token.

    They differ: Gemma ends its turns with <end_of_turn> and its texts with <eos>, and the base models of Qwen2.5 have
    <|im_end|> in the template but <|endoftext|> as EOS.
    """
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
    after = render(tokenizer, turns, False, "a plain question and answer").rpartition(PROBE)[2]
    special = tokenizer.added_tokens_decoder
    for token in tokenizer(after, add_special_tokens=False).input_ids:
        if token in special:
            return special[token].content
    return tokenizer.eos_token


def stop_token_ids(model, tokenizer) -> list[int]:
    """The tokens that end a turn: the tokenizer's own first, then the template's and those in the generation config."""
    ids = [tokenizer.eos_token_id]
    configured = model.generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    for token in [tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer)), *configured]:
        if token is not None and token not in ids:
            ids.append(token)
    return ids
