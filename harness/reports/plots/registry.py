"""The list of all kinds of plot on a study's page, in the order of the page.

To add a plot, write a module with `build_plots(summary)` and add one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.reports.plots import (
    class_accuracy,
    class_heatmap,
    confirmation,
    confusion_matrix,
    contour,
    data_quality,
    expected_best,
    fold_scores,
    front,
    importance,
    learning_curves,
    optimization_history,
    parallel_coordinates,
    pareto,
    regression,
    reliability,
    seed_variance,
    slice,
    test_selection_bias,
    timeline,
    top_trials,
)
from harness.reports.plots.base import Plot, PlotKind

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

PLOT_KINDS = (
    PlotKind("sure", top_trials.build_plots),
    PlotKind("confirm", confirmation.build_plots),
    PlotKind("front", front.build_plots),
    PlotKind("settings", seed_variance.build_plots),
    PlotKind("luck", test_selection_bias.build_plots),
    PlotKind("curves", learning_curves.build_plots),
    PlotKind("folds", fold_scores.build_plots),
    PlotKind("classes", class_accuracy.build_plots),
    PlotKind("classes", confusion_matrix.build_plots),
    PlotKind("classes", class_heatmap.build_plots),
    PlotKind("calibration", reliability.build_plots),
    PlotKind("predicted", regression.build_plots),
    PlotKind("why", importance.build_plots),
    PlotKind("why", slice.build_plots),
    PlotKind("why", contour.build_plots),
    PlotKind("why", parallel_coordinates.build_plots),
    PlotKind("why", pareto.build_plots),
    PlotKind("course", optimization_history.build_plots),
    PlotKind("course", expected_best.build_plots),
    PlotKind("course", timeline.build_plots),
    PlotKind("data", data_quality.build_plots),
)


def build_section_plots(section: str, summary: Summary) -> list[Plot]:
    """Return the plots of one section of a study's page."""
    return [plot for kind in PLOT_KINDS if kind.section == section for plot in kind.build(summary)]
