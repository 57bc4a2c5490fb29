"""The answer for programs: the verdict as plain values."""

from __future__ import annotations

from typing import Any

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.expected_best import compute_expected_best
from harness.analysis.formatting import find_hardest_class, score_to_dict
from harness.analysis.seed_variance import rank_settings
from harness.analysis.summary import Summary, count_states


def to_dict(verdict: Summary) -> dict[str, Any]:
    """What `--format json` prints last."""
    study = verdict.study
    kept, reading = verdict.model_run, verdict.reading
    assert kept.best is not None
    named, optimism = study.classes, verdict.selection_bias
    return {
        "study": study.name,
        "champion": {"trial": verdict.champion.number, "spec": verdict.champion.spec.to_dict()},
        "validation": {
            **score_to_dict(study.score, named, kept),
            **{key.removeprefix("best/val_"): v for key, v in kept.best.best_metrics.items()},
            "seed": kept.spec.seed,
        },
        "confirmed": [
            {
                "trial": each.trial.number,
                "seeds": [run.spec.seed for run in each.runs],
                "validation": each.validation.values,
                "mean": each.validation.mean,
                "deviation": each.validation.std,
                "failed": each.failed,
            }
            for each in rank_confirmed_settings(study)
        ],
        "optimism": optimism
        and {
            "trial": optimism.trial,
            "reported": optimism.reported_score,
            "over_fresh_seeds": optimism.metrics().get("optimism/over_fresh_seeds"),
            "over_test": optimism.metrics().get("optimism/over_test"),
        },
        "test": reading
        and {
            "of": study.test_name,
            **score_to_dict(study.score, named, reading),
            **reading.figures,
            "looks": study.test_set_openings,
            "look": reading.look or None,
            **(
                {"hardest_class": find_hardest_class(named, reading.class_accuracy)}
                if named
                else {}
            ),
        },
        **({"baselines": simple.to_dict()} if (simple := verdict.baselines) else {}),
        "ties": verdict.tied_trials and verdict.tied_trials.to_dict(),
        "expected_best": found.to_dict() if (found := compute_expected_best(study)) else None,
        "settings": [
            {
                "name": setting.name,
                "trials": [run.number for run in setting.runs],
                "validation": setting.validation.values,
                "test": setting.test and setting.test.values,
            }
            for setting in rank_settings(study)
        ],
        "trials": {state.lower(): n for state, n in count_states(study).items()},
        "report": str(verdict.report_path),
        "store": verdict.store,
        "model": None if verdict.export_problem else verdict.model_uri,
        "browse": verdict.browse_command,
    }
