"""Open the test set once for a frozen choice: the only file that opens a `SealedTest`.

Of a search the model that is kept is read, alone. A grid or list was decided on before any result
was known: nothing is chosen, and one opening reads every trial of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import torch

from harness.data.torch_datasets import SealedTest, Split
from harness.engine.losses import compute_example_losses, compute_probabilities
from harness.models.custom import CustomModel
from harness.models.mlp import MLP
from harness.stats.regression import compute_regression_metrics, compute_rmse_interval
from harness.test_set.log import TestSetLog
from harness.tracking.predictions import TestPredictions
from harness.tracking.types import TestReading
from harness.trial import Loss

BATCH = 500


def read_test_set(
    selection: str,
    study: tuple[str, str],
    sealed: SealedTest,
    log: TestSetLog,
    trained: Iterable[tuple[str, int, Loss, MLP | CustomModel]],
    evaluate_also: Callable[[Split], None] | None = None,
) -> Iterator[tuple[TestReading, TestPredictions]]:
    """Open the test set for the selection of that hash: (uid, number, loss, model) of each run.

    The ledger knows of it before anything is read; `study` is the (name, uid) that it is told.
    `alongside` is shown the part first: what is judged beside the models, in the same opening.
    """
    look = log.record_opening(selection, *study)
    part = sealed.open()
    true = part.labels[part.rows]
    if evaluate_also is not None:
        evaluate_also(part)
    for uid, number, trained_by, model in trained:
        if model.is_regression:
            values = predict_values(model, part)
            reading = TestReading(
                selection=selection,
                number=number,
                time=time.time(),
                loss=float(((values - true) / model.target_std).square().mean()),
                confusion=(),
                run=uid,
                look=look,
                interval=compute_rmse_interval(values.numpy(), true.numpy()),
                foretold=len(true),
                **compute_regression_metrics(values, true),
            )
            log.record_reading(reading)
            yield reading, TestPredictions(true.numpy(), values.numpy())
            continue
        losses, sure, predicted = [], [], []
        with torch.inference_mode():
            for rows in torch.split(part.rows, BATCH):
                logits = model(part.inputs[rows])
                losses.append(compute_example_losses(trained_by, logits, part.labels[rows]))
                best = compute_probabilities(trained_by, logits).max(1)
                sure.append(best.values)
                predicted.append(logits.argmax(1))
        said = torch.cat(predicted)
        classes = logits.shape[1]
        cells = torch.bincount(true * classes + said, minlength=classes**2)
        reading = TestReading(
            selection=selection,
            number=number,
            time=time.time(),
            loss=torch.cat(losses).mean().item(),
            confusion=tuple(tuple(row) for row in cells.view(classes, classes).tolist()),
            run=uid,
            look=look,
        )
        log.record_reading(reading)
        yield reading, TestPredictions(true.numpy(), said.numpy(), torch.cat(sure).numpy())


@torch.inference_mode()
def predict_values(model: MLP | CustomModel, part: Split) -> torch.Tensor:
    """What a regression says of each example, [n], in the target's own units."""
    return torch.cat([model(part.inputs[rows])[:, 0] for rows in torch.split(part.rows, BATCH)])
