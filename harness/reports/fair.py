"""How fair the data is: what stands in several parts, the balance of the classes, the hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.data.fairness import PAIRS, Contents, Fairness
from harness.fairness import fairness_of, told
from harness.reports.page import Section
from harness.reports.style import COLOURS, Plot, label, layout
from harness.tracking.records import StudyRun

SHOWN = 30
"""Classes; of more, the rarest and the commonest."""
LONGEST = 24
"""Of a class name."""


@dataclass(frozen=True)
class Share:
    """One part's classes, in the order of `Balance.names`."""

    part: str
    examples: tuple[int, ...]
    of: int
    """All examples of the part."""


@dataclass(frozen=True)
class Balance:
    names: tuple[str, ...]
    parts: tuple[Share, ...]
    classes: int
    """Of them all; `names` may be fewer."""


def sections(study: StudyRun) -> list[Section]:
    """None for an older record that does not say."""
    found = fairness_of(study)
    if found is None:
        return []
    balance = data(study, found)
    title = "Class balance: share of each part's examples"
    if balance.classes > len(balance.names):
        title += f", the {SHOWN // 2} rarest and the {SHOWN // 2} commonest classes in training"
    return [
        Section(
            name="data",
            title="How fair the data is",
            says="Duplicates are examples whose inputs are equal byte for byte. They were counted "
            "when the data was prepared; of the test part nothing but counts and hashes came out.",
            template="table",
            values={"said": [" ".join(said(study, found))], "table": table(study, found)},
            plots=[Plot("balance", title, figure(balance), wide=True)] if balance.names else [],
        )
    ]


def said(study: StudyRun, found: Fairness) -> list[str]:
    """Sentences on duplicates."""
    sentences = [_sentence(told(study, found, pair)) for pair in PAIRS]
    tested = found.duplicates["train_test"].examples
    if tested:
        points = 100 * tested / found.parts["test"].examples
        sentences[0] += f" They can move {study.test_name} accuracy by at most {points:.2f} points."
    within = found.duplicates["train"]
    alike = f"{within.examples:,} training examples are further copies of another one there"
    if within.conflicting:
        alike += f" ({within.conflicting:,} of a kind that has several labels)"
    sentences.append(f"{alike}." if within.examples else "No two training examples are equal.")
    if found.dropped:
        sentences.append(
            f"{found.dropped:,} more were dropped from training: they stand in validation or "
            f"{study.test_name} too."
        )
    elif tested or found.duplicates["train_validation"].examples:
        sentences.append(
            "drop_duplicates = true in [data] leaves those out of training that stand in "
            f"validation or {study.test_name} too."
        )
    return sentences


def table(study: StudyRun, found: Fairness) -> list[list[str]]:
    """A row a part: its size, its rarest and commonest class, its hash."""
    head = ["part", "examples", "by class", "SHA-256 of inputs and labels"]
    names = {"test": study.test_name}
    return [head] + [
        [names.get(name, name), f"{part.examples:,}", _spread(study.classes, part), part.digest]
        for name, part in found.parts.items()
    ]


def data(study: StudyRun, found: Fairness) -> Balance:
    """Empty where the record has no count for each class."""
    count = len(study.classes)
    if any(len(part.by_class) != count for part in found.parts.values()):
        return Balance((), (), count)
    shown = list(range(count))
    if count > SHOWN:
        ranked = sorted(shown, key=lambda index: found.parts["train"].by_class[index])
        shown = ranked[: SHOWN // 2] + ranked[-(SHOWN // 2) :]
    return Balance(
        tuple(study.classes[index] for index in shown),
        tuple(
            Share(
                study.test_name if name == "test" else name,
                tuple(part.by_class[index] for index in shown),
                part.examples,
            )
            for name, part in found.parts.items()
        ),
        count,
    )


def figure(found: Balance) -> go.Figure:
    """Bars, a class a group, a part a colour."""
    made = go.Figure()
    names = [label(name, LONGEST) for name in found.names]
    for share, colour in zip(found.parts, COLOURS, strict=False):
        made.add_trace(
            go.Bar(
                x=[n / share.of for n in share.examples],
                y=list(range(len(names))),
                orientation="h",
                name=label(share.part),
                marker={"color": colour, "line": {"width": 0}},
                text=[
                    f"{name}: {n:,} of {share.of:,} {label(share.part)} examples"
                    for name, n in zip(names, share.examples, strict=True)
                ],
                textposition="none",
                hovertemplate="%{text} (%{x:.2%})<extra></extra>",
            )
        )
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
    layout(made, 110 + 30 * len(names), showlegend=True, legend=legend, margin={"t": 34})
    made.update_layout(barmode="group", bargap=0.3)
    made.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5]
    )
    made.update_xaxes(title_text="share of the part", tickformat=".0%", rangemode="tozero")
    return made


def _spread(classes: Sequence[str], part: Contents) -> str:
    """`980 (5) to 1,135 (1)`."""
    low, high = min(part.by_class), max(part.by_class)
    if low == high:
        return f"{low:,} each"
    if len(part.by_class) != len(classes):
        return f"{low:,} to {high:,}"
    rarest, commonest = (classes[part.by_class.index(n)] for n in (low, high))
    return f"{low:,} ({_cut(rarest)}) to {high:,} ({_cut(commonest)})"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
