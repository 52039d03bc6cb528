"""The picture of results/knowledge.json: what each run knows, what it kept, and one adapter for more and more documents."""

from __future__ import annotations

from pathlib import Path

OURS_COLOUR, OTHER_COLOUR = "#1b6ca8", "#9aa5b1"


def draw(results: dict, path: Path) -> bool:
    """Draw the runs of the first source that has any, given text before others, as a PNG; False if there is nothing to draw."""
    found = {name: one for name, one in results.get("runs", {}).items() if one["runs"]}
    if not found:
        return False
    from matplotlib.figure import Figure

    source = "given_text" if "given_text" in found else next(iter(found))
    corpus, curve = found[source], results.get("documents_curve", {})
    names = sorted(corpus["runs"], key=lambda name: corpus["runs"][name]["tuned"])
    figure = Figure(figsize=(13 if curve else 10, 1.9 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots(1, 3 if curve else 2, width_ratios=[3, 2, 2] if curve else [3, 2])
    draw_answers(axes[0], corpus, names)
    axes[1].barh(names, [100 * corpus["runs"][name]["retention_ratio"] for name in names], color=OTHER_COLOUR)
    axes[1].set(title="general questions kept", xlabel="% of those the base model knows", yticks=[])
    if curve:
        axes[2].plot([int(size) for size in curve], [100 * value for value in curve.values()], "o-", color=OURS_COLOUR)
        top = 115 * max(curve.values()) or None
        axes[2].set(title="documents in one adapter", xlabel="documents", ylabel="% right", ylim=(0, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    return True


def draw_answers(axis, corpus: dict, names: list[str]) -> None:
    """Bars of the share right without the passage, with 95 % intervals, and lines for the base model, RAG and open book."""
    for name in names:
        run = corpus["runs"][name]
        value, interval = run["tuned"], run["tuned_interval"]
        error = [[100 * (value - interval[0])], [100 * (interval[1] - value)]] if interval else None
        axis.barh([name], [100 * value], xerr=error, color=OTHER_COLOUR if run["peer"] else OURS_COLOUR, capsize=2)
    for key, label, style in (
        ("base", "base", ":"),
        ("bm25", "base with BM25", "-."),
        ("open_book", "base, open book", "--"),
    ):
        if key in corpus:
            axis.axvline(100 * corpus[key], color="black", linewidth=1, linestyle=style, label=label)
    title = f"{corpus['questions']} questions on {corpus['passages']} passages, without the passage"
    axis.set(title=title, xlabel="% right")
    axis.figure.legend(fontsize="small", loc="outside lower left", ncols=3)  # below: bars may be anywhere
