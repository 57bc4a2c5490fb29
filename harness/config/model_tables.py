"""The tables of a study file on what follows the search: [confirm], [ensemble] and [final]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.config.study_tables import Table


class ConfirmTable(Table):
    """[confirm]: train a search's best settings again; may change when a study is continued."""

    top: int = Field(default=3, ge=1, le=100)
    """Number of settings, the best first."""
    seeds: int = Field(default=3, ge=0, le=100)
    """Number of seeds that the search did not use; 0 for no confirmation runs, which is the default
    with [data] folds. In a race, the mean number for each setting."""
    resample: bool = True
    """Whether each of these seeds also gets a new split of the training and validation examples, so
    that the score is corrected for selection. New validation sets do not overlap, so there
    are at most as many as the training set has room for. Not done with `own_validation` and
    `folds`."""
    margin: float = Field(default=0.5, gt=0, le=100)
    """The largest loss at which a smaller network counts as good enough: points of accuracy, or for
    a regression percent of the RMSE. By another objective: hundredths of AUC, F1, balanced accuracy
    and R2, and percent of the losses."""
    race: bool = False
    """Train all settings on 2 new splits. Then drop those that are clearly worse, and train the
    better half of the others on the next split, until one is left or `budget` runs are spent."""
    budget: int = Field(default=0, ge=0, le=10_000)
    """The largest number of runs in a race; by default `seeds` for each setting."""

    @model_validator(mode="after")
    def _can_race(self) -> ConfirmTable:
        if self.budget and not self.race:
            raise ValueError("budget: only a race has one; set race = true, or leave it out")
        if not self.race or not self.seeds:
            return self
        if not self.resample:
            raise ValueError("race: needs new splits; leave out resample = false")
        if self.top < 2:
            raise ValueError("race: needs two settings or more; raise top")
        if self.runs < 2 * self.top:
            key = "budget" if self.budget else "seeds"
            raise ValueError(
                f"{key}: a race of {self.top} settings needs {2 * self.top} runs or more, 2 for "
                f"each, not {self.runs}"
            )
        return self

    @property
    def runs(self) -> int:
        """The number of runs, without those of a smaller network; the most of a race."""
        return self.budget or self.top * self.seeds

    @property
    def splits(self) -> int:
        """The number of new splits; the most of a race, where only two settings are left."""
        if not self.race:
            return self.seeds
        from harness.stats.racing import count_most_splits

        # One more setting, where a smaller network is confirmed too.
        counts = (self.top, self.runs), (self.top + 1, self.budget or self.runs + self.seeds)
        return max(count_most_splits(*each) for each in counts)


class EnsembleTable(Table):
    """[ensemble]: combine a study's own trials; may change when a study is continued."""

    size: int = Field(default=0, ge=0, le=100)
    """The most members of the ensemble; a trial may count several times. 0 makes no ensemble. By
    default 16 in a study file with [ensemble], 0 without."""
    candidates: int = Field(default=50, ge=2, le=1000)
    """The number of best trials that may become members. Their weights are kept on disk."""


class FinalTable(Table):
    """[final]: the model of a study with [data] folds."""

    model: Literal["retrained", "folds"] = "retrained"
    """`retrained`: one network, trained again on all training and validation examples, up to the
    trial's best epoch; in a grid or list with a test set, one for each complete trial. `folds`: the
    mean of the folds' networks; not for tables, and not with [study] calibrated or [limits]."""
