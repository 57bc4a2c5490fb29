"""Choose a study's ensemble from its best trials, register it, and record it.

Everything follows from the recorded weights and the data. So a study that was killed makes the
same ensemble when it continues.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from harness.analysis.baseline_verdict import find_validated_run
from harness.analysis.ensemble_record import (
    LARGE_BATCH,
    Cost,
    EnsembleRecord,
    EnsembleScores,
    Member,
    hash_basis,
    load_ensemble,
)
from harness.analysis.formatting import format_count
from harness.analysis.paired_tests import read_predictions, run_paired_test
from harness.data.prepare import PreparedDataset
from harness.data.split_rule import SplitRule, deal_groups
from harness.data.torch_datasets import Split, load_splits
from harness.data.training_files import TrainingFiles
from harness.errors import StudyError
from harness.inference.recorded_model import load_ensemble_network, load_network
from harness.models import export
from harness.models.ensemble import compute_log_probabilities
from harness.models.prediction_time import time_batches
from harness.stats.conformal import compute_half_width
from harness.stats.ensembles import (
    compute_error_rate,
    compute_log_loss,
    compute_mean_squared_error,
    draw_halves,
    select_greedily,
)
from harness.sweep.model_description import build_metadata, describe_interface
from harness.sweep.plan import Plan
from harness.sweep.progress import ProgressDisplay
from harness.sweep.table_record import build_scoring_files
from harness.sweep.test_opening import check_not_interrupted
from harness.system.failpoints import failpoint
from harness.system.signals import StopFlag
from harness.test_set.opening import BATCH
from harness.test_set.selection import Selection
from harness.tracking.predictions import Predictions
from harness.tracking.raw_types import ENSEMBLE_FILE, WEIGHTS_FILE
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import Loss

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

SEED = 0
"""Of the halves of the validation set."""

Values = npt.NDArray[Any]


def make_ensemble(
    plan: Plan,
    prepared: PreparedDataset,
    tracker: Tracker,
    selection: Selection,
    study: StudyRun,
    watcher: ProgressDisplay,
    stop: StopFlag,
) -> EnsembleRecord | None:
    """Return the study's ensemble, chosen and registered unless an earlier run did that.

    None if the study has no [ensemble]. Raises Interruption.
    """
    if not study.ensemble_rule:
        return None
    record = load_ensemble(tracker, study, selection.champion)
    if record is not None:
        return record
    check_not_interrupted(stop)
    watcher.stage("choosing an ensemble")
    validation = load_splits(prepared.training).validation
    halves = halve_validation(prepared.training, validation)
    record = _choose(plan, tracker, study, selection, validation, halves)
    failpoint("ensemble.chosen")
    example = np.zeros((2, *prepared.training.shape), prepared.training.dtype)
    network = load_ensemble_network(tracker, study, record)
    if problem := export.find_export_problem(network, example):
        watcher.message(f"the ensemble cannot be exported; its members are kept ({problem})")
        record = replace(record, problem=problem)
    else:
        watcher.stage("exporting the ensemble")
        tracker.log_ensemble(
            study.name,
            network,
            example,
            record.digest,
            _describe_model(prepared, study, record),
            build_metadata(prepared, study),
            build_scoring_files(prepared, "cross-entropy", {"interval": record.interval}),
        )
    failpoint("ensemble.registered")
    tracker.log_file(study.uid, ENSEMBLE_FILE, record.to_json())
    return record


def halve_validation(files: TrainingFiles, validation: Split) -> tuple[Values, Values]:
    """Return the rows of both halves of the validation set; [data] group keeps its groups whole."""
    true, rows = validation.labels[validation.rows].numpy(), validation.rows.numpy()
    groups = SplitRule.read(files.labels.parent, stratify=False).groups
    if groups is None:
        return draw_halves(true, SEED)
    first, second = deal_groups(true, groups[rows], 2, SEED)
    return first, second


def _choose(
    plan: Plan,
    tracker: Tracker,
    study: StudyRun,
    selection: Selection,
    validation: Split,
    halves: tuple[Values, Values],
) -> EnsembleRecord:
    """Choose the members on one half of the validation set, and measure them on the other."""
    table = plan.config.ensemble
    runs = _list_candidates(tracker, study, table.candidates)
    predictions = np.stack(
        [_predict(load_network(tracker, study, run), run.spec.loss, validation) for run in runs]
    )
    true = validation.labels[validation.rows].numpy()
    first, second = halves
    places = select_greedily(predictions[:, first], true[first], table.size, study.objective)
    counts = Counter(places)  # in the order of their choice
    members = [
        Member(runs[place].number, runs[place].uid, count / len(places))
        for place, count in counts.most_common()
    ]
    total = np.zeros(predictions.shape[1:])
    for place, count in counts.items():
        total += count * predictions[place]
    mean = total / len(places)
    compared = find_validated_run(selection.champion, selection.model_run)
    recorded = read_predictions(tracker, compared)
    rival = None if recorded is None else recorded.to_array()[1]
    outputs = [each for run, each in zip(runs, predictions, strict=True) if run.uid == compared.uid]
    chosen, judged = (
        _compare(
            true[rows],
            mean[rows],
            None if rival is None else rival[rows],
            outputs[0][rows] if outputs else None,
        )
        for rows in (first, second)
    )
    nothing = Cost(0, 0.0, 0.0)
    record = EnsembleRecord(
        basis=hash_basis(study, selection.champion),
        objective=study.objective,
        members=tuple(members),
        candidates=len(runs),
        champion=compared.uid,
        chosen=chosen,
        judged=judged,
        cost=nothing,
        champion_cost=nothing,
        interval=None if study.classes else compute_half_width(true[second], mean[second]),
    )
    examples = validation.inputs[validation.rows[:LARGE_BATCH]]
    networks = (
        load_ensemble_network(tracker, study, record),
        load_network(tracker, study, selection.model_run),
    )
    cost, champion_cost = (_measure_cost(network, examples) for network in networks)
    return replace(record, cost=cost, champion_cost=champion_cost)


def _list_candidates(tracker: Tracker, study: StudyRun, most: int) -> list[RunRecord]:
    """Return the best complete trials whose weights are kept.

    Trials that ran before the study had an [ensemble] may have none. Raises StudyError.
    """
    best = study.rank_trials()[:most]
    kept = [run for run in best if tracker.read_file(run.run_id, WEIGHTS_FILE) is not None]
    if not kept:
        raise StudyError(
            f"'{study.name}': no weights of its best trials are on record, so no ensemble can be "
            "chosen; restore mlruns from a backup, or leave [ensemble] out"
        )
    return kept


@torch.inference_mode()
def _predict(model: nn.Module, loss: Loss, split: Split) -> Values:
    """Return float32 probabilities [n, C], or a regression's values [n]."""
    parts = []
    for rows in torch.split(split.rows, BATCH):
        output: Tensor = model(split.inputs[rows])
        is_number = split.labels.is_floating_point()
        parts.append(output[:, 0] if is_number else compute_log_probabilities(loss, output).exp())
    values: Values = torch.cat(parts).numpy()
    return values


def _compare(
    true: Values, outputs: Values, rival: Values | None, rival_outputs: Values | None
) -> EnsembleScores:
    """Measure the ensemble's outputs on some examples, and the champion's on the same.

    `rival`: the champion's recorded classes or values. `rival_outputs`: its probabilities or
    values, if its weights are kept.
    """
    score, loss = _measure(outputs, true)
    mine = outputs.argmax(1) if outputs.ndim == 2 else outputs
    if rival is None:
        return EnsembleScores(len(true), score, loss)
    is_number = outputs.ndim == 1
    rival_score = (
        compute_mean_squared_error(rival, true) ** 0.5
        if is_number
        else (float((rival == true).mean()))
    )
    test = run_paired_test(pack_predictions(true, rival), pack_predictions(true, mine))
    rival_loss = None if rival_outputs is None else _measure(rival_outputs, true)[1]
    return EnsembleScores(len(true), score, loss, rival_score, rival_loss, test)


def _measure(outputs: Values, true: Values) -> tuple[float, float]:
    """Return accuracy and log loss of probabilities, or RMSE and mean squared error of values."""
    if outputs.ndim == 2:
        return 1 - compute_error_rate(outputs, true), compute_log_loss(outputs, true)
    squared = compute_mean_squared_error(outputs, true)
    return squared**0.5, squared


def pack_predictions(true: Values, predicted: Values) -> Predictions:
    """Return predicted classes or values [n] with the true ones, as they are recorded."""
    is_regression = true.dtype.kind == "f"
    dtype = np.float32 if is_regression else np.uint8
    return Predictions(
        true.astype(dtype).tobytes(), predicted.astype(dtype).tobytes(), is_regression
    )


def _measure_cost(model: nn.Module, examples: Tensor) -> Cost:
    """Measure the time of a prediction on one core, alone and in batches of LARGE_BATCH."""
    many = examples[torch.arange(LARGE_BATCH) % len(examples)]
    alone, together = time_batches(model, examples[:1], many)
    parameters = sum(each.numel() for each in model.parameters())
    return Cost(parameters, 1000 * alone, 1000 * together / LARGE_BATCH)


def _describe_model(prepared: PreparedDataset, study: StudyRun, record: EnsembleRecord) -> str:
    """Return the description of the registered model."""
    trials = ", ".join(f"{each.number} ({each.weight:.0%})" for each in record.members)
    score, count = study.score.tested, format_count(len(record.members), "trial")
    return (
        f"Study '{study.name}', ensemble of {count}: {trials}. "
        f"{score.name} {score.format_value(record.judged.score)} on the half of the validation set "
        f"that did not choose it. {describe_interface(prepared, study)}"
    )
