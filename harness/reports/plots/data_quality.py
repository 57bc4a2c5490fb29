"""How fair the data is: what stands in several parts, the balance of the classes, the hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.analysis.data_quality import fairness_of, told
from harness.data.leakage import PAIRS, SplitContents, DataQuality
from harness.reports.page import Section
from harness.reports.plots.style import COLOURS, Plot, label, layout
from harness.tracking.types import StudyRun

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
            values={"said": said(study, found), "table": table(study, found)},
            plots=[Plot("balance", title, figure(balance), wide=True)] if balance.names else [],
        )
    ]


def said(study: StudyRun, found: DataQuality) -> list[str]:
    """On duplicates: a paragraph on those between parts, one on those within training."""
    between = [_sentence(told(study, found, pair)) for pair in PAIRS]
    tested = found.duplicates["train_test"].examples
    if tested and study.classes:
        points = 100 * tested / found.parts["test"].examples
        between[0] += f" They can move {study.test_name} accuracy by at most {points:.2f} points."
    within = found.duplicates["train"]
    alike = f"{within.examples:,} training examples are further copies of another one there"
    if within.conflicting:
        several = "labels" if study.classes else "targets"
        alike += f" ({within.conflicting:,} of a kind that has several {several})"
    alike = f"{alike}." if within.examples else "No two training examples are equal."
    if found.dropped:
        between.append(
            f"{found.dropped:,} were dropped from training that stand in validation or "
            f"{study.test_name}."
        )
    elif tested or found.duplicates["train_validation"].examples:
        between.append("[data] drop_duplicates = true leaves such examples out of training.")
    return [" ".join(between), alike]


def table(study: StudyRun, found: DataQuality) -> list[list[str]]:
    """A row a part: its size, its rarest and commonest class where it has classes, its hash."""
    classes = ["rarest class", "commonest class"] if study.classes else []
    head = ["part", "examples", *classes, "SHA-256 of inputs and labels"]
    names = {"test": study.test_name}
    return [head] + [
        [
            names.get(name, name),
            f"{part.examples:,}",
            *(
                _named(study.classes, part, count(part.by_class))
                for count in (min, max)
                if study.classes
            ),
            part.digest,
        ]
        for name, part in found.parts.items()
    ]


def data(study: StudyRun, found: DataQuality) -> Balance:
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
    made.update_xaxes(title_text="share of the part", tickformat=".2~%", rangemode="tozero")
    return made


def _named(classes: Sequence[str], part: SplitContents, count: int) -> str:
    """`892: 5`; how many more classes are of that size where there are any."""
    if len(part.by_class) != len(classes):
        return f"{count:,}"
    name, alike = classes[part.by_class.index(count)], part.by_class.count(count)
    if alike == len(classes):
        return f"{count:,}: all"
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return f"{count:,}: {short}" + (f" and {alike - 1} more" if alike > 1 else "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
