"""The study files: where they are, what each is about, and about how long it takes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.errors import LIST_STUDIES, StudyError, did_you_mean


@dataclass(frozen=True)
class StudyInfo:
    """What a study file says about itself."""

    name: str
    path: Path
    dataset: str
    description: str = ""
    minutes: float | None = None
    """Measured time on 2 CPU cores."""
    trials: int | None = None
    """Number of trials, where the file has one."""


def find_study(study: str | Path) -> Path:
    """The file of a study: a path stays as it is, a name is looked up in `study_folders()`."""
    if isinstance(study, Path) or study.endswith(".toml") or "/" in study:
        path = Path(study)
        if not is_file(path):
            names = did_you_mean(path.stem, list_study_names(), LIST_STUDIES)
            raise StudyError(f"no study file {path}{names}")
        return path
    for folder in study_folders():
        if is_file(folder / f"{study}.toml"):
            return folder / f"{study}.toml"
    raise StudyError(f"no study '{study}'{did_you_mean(study, list_study_names(), LIST_STUDIES)}")


def study_folders() -> list[Path]:
    """./studies, then the shipped ones: in the wheel, or next to the package in a checkout."""
    package = Path(__file__).parents[1]
    return [Path("studies"), package / "studies", package.parent / "studies"]


def is_shipped(name: str) -> bool:
    """Whether a study of this name ships with harness."""
    return any(is_file(folder / f"{name}.toml") for folder in study_folders()[1:])


def is_file(path: Path) -> bool:
    """False also for a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def list_study_names() -> list[str]:
    """Return the names of all studies in `study_folders()`, sorted."""
    return sorted({file.stem for folder in study_folders() for file in folder.glob("*.toml")})


def list_studies() -> list[StudyInfo]:
    """Describe all studies in `study_folders()`, those in ./studies first."""
    studies = [read_study_info(find_study(name)) for name in list_study_names()]
    return sorted(studies, key=lambda study: (study.path.is_absolute(), study.name))


def read_study_info(path: Path) -> StudyInfo:
    """Describe one study file. A file or key that cannot be read is left to `load` to report."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return StudyInfo(path.stem, path, "")
    study, data = (
        {**each} if isinstance(each := tables.get(t), dict) else {} for t in ("study", "data")
    )
    minutes, trials = study.get("minutes"), study.get("trials")
    return StudyInfo(
        path.stem,
        path,
        str(data.get("name", "")),
        str(study.get("description", "")),
        minutes if isinstance(minutes, int | float) else None,
        trials if isinstance(trials, int) else None,
    )
