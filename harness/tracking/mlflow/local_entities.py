"""Rows of a local database, with the fields of MLflow's entities that harness reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LocalExperiment:
    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    creation_time: int | None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalInfo:
    run_id: str
    experiment_id: str
    run_name: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str


@dataclass(frozen=True)
class LocalMetric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class LocalData:
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    _metric_objs: list[LocalMetric] = field(default_factory=list)

    def add_metric(self, metric: LocalMetric) -> None:
        self.metrics[metric.key] = metric.value
        self._metric_objs.append(metric)


@dataclass(frozen=True)
class LocalRun:
    info: LocalInfo
    data: LocalData = field(default_factory=LocalData)


@dataclass(frozen=True)
class LocalFile:
    path: str
    is_dir: bool


@dataclass(frozen=True)
class LocalVersion:
    name: str
    version: str
    run_id: str | None
    source: str | None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalRegistered:
    aliases: dict[str, str]


@dataclass(frozen=True)
class LocalModel:
    artifact_location: str
    tags: dict[str, str]
