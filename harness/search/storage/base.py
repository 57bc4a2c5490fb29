"""Where studies' Optuna records lie: a folder of journals, or a PostgreSQL database."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from optuna.storages import BaseStorage


class StudyStorage(Protocol):
    """Held by one driver a study. A study's record is there whole or not at all."""

    def locked(self, study: str, fresh: bool = False) -> AbstractContextManager[None]:
        """The study is ours alone while the block runs. Raises StudyError where it is held.

        What a dead driver left half-made is mended, or StoreError raised where it cannot be,
        unless a `fresh` one takes its place.
        """

    def held(self, study: str) -> bool:
        """Whether a driver holds the lock at this moment; takes it from nobody."""

    def names(self) -> list[str]:
        """Every study on record."""

    def shown(self, study: str) -> str:
        """Where its record lies, for people; no password in it."""

    def mark(self, study: str) -> object:
        """Another one after something was written."""

    def storage(self, study: str) -> BaseStorage:
        """To read and write under the lock."""

    def draft(self, study: str) -> tuple[BaseStorage, str]:
        """A storage for a new record, and the name it has in it until it is published."""

    def publish(self, study: str, aside: str | None) -> None:
        """The draft takes its place; the record that was there goes by `STUDY.aside` then."""

    def suffix(self, study: str) -> str:
        """For putting the record aside: a time."""
