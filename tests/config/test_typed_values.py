"""What people type and editors write: numbers without a digit, byte order marks, other words."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.errors import ConfigError

STUDY = '[study]\nname = "typed"\n[data]\nname = "digits"\n[train]\n'


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "typed.toml"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [(".001", 0.001), ("+.5", 0.5), ("1.", 1.0), ("1E-3", 0.001), ("1_0e-4", 0.001)],
)
def test_a_number_is_read_as_it_is_typed(study: Path, text: str, value: float) -> None:
    config = load(study, [f"train.learning_rate={text}"])
    assert config.build_fixed_spec().learning_rate == value


def test_numbers_of_lists_and_tables_are_read_too(study: Path) -> None:
    config = load(study, ["space.learning_rate={low=.001, high=1., log=true}", "space.l1=[0,.5]"])
    assert config.definition()["space"]["learning_rate"]["low"] == 0.001
    assert config.definition()["space"]["l1"] == [0, 0.5]


@pytest.mark.parametrize("text", ["v1.", "./data.csv", "1.2.3", "a.5b"])
def test_a_word_with_points_stays_a_word(study: Path, text: str) -> None:
    assert load(study, [f"data.name={text}"]).data.name == text


def test_a_byte_order_mark_is_no_part_of_the_file(study: Path) -> None:
    study.write_text(STUDY + "epochs = 3\n", encoding="utf-8-sig")
    config = load(study)
    assert config.build_fixed_spec().epochs == 3
    assert config.text == STUDY + "epochs = 3\n"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("learning_rate = .5", "write a digit before and after the point of a number"),
        ("learning_rate = 1.", "write a digit before and after the point of a number"),
        ("dropout = 0,5", "write a number with a point: 0.5"),
        ("bias = True", "write true or false"),
        ("batch_norm = None", "TOML has no None: leave the key out"),
    ],
)
def test_what_toml_forbids_is_explained(study: Path, line: str, advice: str) -> None:
    study.write_text(STUDY + line + "\n")
    with pytest.raises(ConfigError, match=f"at line 6.*; {advice}"):
        load(study)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("0,001", "write a number with a point: 0.001"),
        ("-2,05", "write a number with a point: -2.05"),
        ("3,5", "write a number with a point: 3.5, or a list as [3,5]"),
        ("{low=0,5, high=1}", "write a number with a point: 0.5"),
        ("[0,001, 0,1]", "write a number with a point: 0.001"),
        ("[64, 032]", "write 32 instead of 032: a number does not begin with 0"),
        ("[08,7]", "write 8 instead of 08: a number does not begin with 0"),
        ("[True]", "write true or false"),
        ("1,2,3", "write lists as [300,100]"),
    ],
)
def test_a_mistyped_number_is_explained(study: Path, text: str, advice: str) -> None:
    """In --set and in the file alike."""
    message = f"{text!r} is not a TOML value; {advice}"
    with pytest.raises(ConfigError) as caught:
        load(study, [f"train.dropout={text}"])
    assert str(caught.value).endswith(message)
    if not advice.startswith("write lists"):
        study.write_text(f"{STUDY}dropout = {text}\n")
        with pytest.raises(ConfigError) as caught:
            load(study)
        assert str(caught.value).endswith(f"; {advice}")


def test_another_encoding_is_named(study: Path) -> None:
    study.write_text(STUDY, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"typed\.toml: cannot be read as TOML: save .* as UTF-8"):
        load(study)
