"""A storage of studies' Optuna records: a folder of journals, or a PostgreSQL database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from optuna.storages import BaseStorage


class StudyStorage(Protocol):
    """Holds one Optuna record a study; a record is complete or not there at all."""

    def lock(self, study: str, fresh: bool = False) -> AbstractContextManager[None]:
        """Hold the study's lock for the block. Raises StudyError if another driver holds it.

        Repairs what a dead driver left incomplete. Raises StoreError if that is impossible,
        unless the record is to be replaced (`fresh`).
        """

    def is_locked(self, study: str) -> bool:
        """Whether a driver holds the lock now; does not take it."""

    def list_studies(self) -> list[str]:
        """Names of all recorded studies, sorted."""

    def has_study(self, study: str) -> bool:
        """Whether the study is recorded, also if its driver died while it replaced the record."""

    def describe(self, study: str) -> str:
        """Where the study's record is, for messages; without a password."""

    def get_version(self, study: str) -> object:
        """A value that changes whenever something is written."""

    def get_storage(self, study: str) -> BaseStorage:
        """Optuna's storage, to read and write under the lock."""

    def create_draft(self, study: str) -> tuple[BaseStorage, str]:
        """Create a storage for a new record; return it and the study's name in it."""

    def publish(self, study: str, archive_suffix: str | None) -> None:
        """Make the draft the study's record.

        The record that was there before is renamed to `STUDY.archive_suffix`.
        """

    def make_archive_suffix(self, study: str) -> str:
        """The time, as a suffix for the study's record when it is archived."""
