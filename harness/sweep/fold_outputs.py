"""What the networks of a trial's folds give for the examples that each has not trained on."""

from __future__ import annotations

from dataclasses import replace

import safetensors.torch
import torch
from torch import Tensor

from harness.data.prepare import PreparedDataset
from harness.data.reshuffled_folds import load_trial_folds
from harness.data.torch_datasets import Split, load_splits
from harness.data.training_files import TrainingFiles
from harness.models.fold_weights import split_folds
from harness.models.mlp import load_model
from harness.test_set.opening import predict_logits, predict_values
from harness.tracking.types import RunRecord


def join_validation_sets(files: TrainingFiles) -> Split:
    """Return the validation set, or those of all folds one after the other.

    Of a table with folds, its inputs are not those that each fold's network takes.
    """
    parts = [load_splits(each).validation for each in files.folds or (files,)]
    first = parts[0]
    rows = torch.cat([part.rows for part in parts])
    return Split(first.inputs, first.labels, rows, first.mean, first.std)


def compute_fold_outputs(prepared: PreparedDataset, run: RunRecord, weights: bytes) -> Tensor:
    """Return the logits [n, C], or a regression's values [n], of `join_validation_sets`.

    Each fold's network gives those of its own validation set. `weights` are the run's.
    """
    files = prepared.training
    states = split_folds(safetensors.torch.load(weights))
    folds = load_trial_folds(files, run.spec)
    outputs = []
    for splits, state in zip(folds.splits, states, strict=True):
        model = load_model(run.spec, len(files.classes), safetensors.torch.save(state))
        predict = predict_values if model.is_regression else predict_logits
        outputs.append(predict(model, splits.validation))
    joined = torch.cat(outputs)
    return joined if folds.order is None else joined[folds.order]


def select_final_files(prepared: PreparedDataset) -> PreparedDataset:
    """Return the dataset as the final model sees it: all folds' examples are its training set.

    Without folds it is the dataset itself.
    """
    files = prepared.training
    if files.whole is None:
        return prepared
    final = replace(
        files.whole, folds=files.folds, whole=files.whole, reshuffling=files.reshuffling
    )
    return replace(prepared, training=final)
