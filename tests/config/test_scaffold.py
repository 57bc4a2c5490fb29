"""`harness new-study`: the study file fits the data, can be loaded, and runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from harness.api.run import run_study
from harness.cli.main import app
from harness.config.loader import load
from harness.config.scaffold import write_new_study
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, DataError
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan

N = 240


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_table(**more: Any) -> Path:
    rng = np.random.default_rng(0)
    area = rng.integers(50, 300, N)
    columns = {"area": area, "kind": rng.choice(["villa", "hut"], N), "price": area * 10.5}
    pd.DataFrame(columns | more).to_csv("houses.csv", index=False)
    return Path("houses.csv")


def write_images(height: int = 8, width: int = 8, colours: bool = False) -> Path:
    rng = np.random.default_rng(0)
    for index in range(N):
        folder = Path("My photos") / ("bright", "dark")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shape = (height, width, 3) if colours else (height, width)
        values = rng.integers(0, 120, shape) + 120 * (1 - index % 2)
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{index}.png")
    return Path("My photos")


def load_new_study(data: Path | str, **options: Any) -> StudyConfig:
    return load(write_new_study(str(data), **options).path)


@pytest.mark.slow
def test_a_new_study_of_images_runs() -> None:
    new_study = write_new_study(str(write_images()))
    assert new_study.path == "studies/my-photos.toml"
    assert "240 grey images of 8x8 in 2 classes: 153 to train, 39 to validate, 48" in new_study.data
    assert new_study.text().endswith("harness run-study my-photos")
    overrides = ["train.epochs=2", "confirm.seeds=0"]
    result = run_study(new_study.study, trials=2, workers=0, device="cpu", overrides=overrides)
    assert result.test is not None
    assert result.test.accuracy > 0.9


def test_the_comment_about_convolutions_leads_to_a_study() -> None:
    path = Path(write_new_study(str(write_images())).path)
    text = path.read_text().replace('# model = "conv" # ', 'model = "conv" # ')
    path.write_text(
        re.sub(r"^(depth|width|batch_norm|dropout) = .*\n", "", text, flags=re.MULTILINE)
    )
    assert load(path).train["model"] == "conv"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is for the built-in network, but the model is conv"):
        load(path)


def test_large_images_and_images_of_several_sizes_are_resized() -> None:
    assert load_new_study(write_images()).data.size == []
    folder = write_images(200, 100, colours=True)
    config = load_new_study(folder, output=Path("large.toml"))
    assert config.data.size == [64, 32]
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "dark" / "small.png")
    assert load_new_study(folder, output=Path("mixed.toml")).data.size == [64, 32]
    assert config.data.name == "./My photos"
    text = Path("mixed.toml").read_text()
    assert "240 of 241 have 200x100, others not, such as dark/small.png with 8x8" in text


def test_a_few_color_images_among_grey_ones_are_reported() -> None:
    folder = write_images()
    write_new_study(str(folder), Path("grey.toml"))
    assert "in colour" not in Path("grey.toml").read_text()
    for index in range(9):
        stray = np.zeros((8, 8, 3), np.uint8)
        stray[index % 8, 0] = (200, index, 0)
        Image.fromarray(stray).save(folder / "dark" / f"stray{index}.png")
    new_study = write_new_study(str(folder), Path("colour.toml"))
    assert "249 colour images" in new_study.data
    (line,) = (each for each in Path("colour.toml").read_text().splitlines() if "in colour" in each)
    assert re.match("# [1-9] of the training images are in colour, all others grey", line)


def test_the_task_is_guessed_from_the_target() -> None:
    table = write_table()
    price, kind = (
        load_new_study(table, target="price"),
        load_new_study(table, target="kind", output=Path("k.toml")),
    )
    assert (price.data.task, price.data.target) == ("regression", "price")
    assert (kind.data.task, kind.data.target) == ("classes", "kind")
    whole = load_new_study(table, target="area", output=Path("a.toml"))
    assert whole.data.task == "regression", "integers, but too many values"
    np.savez("mine.npz", x=np.random.default_rng(0).random((N, 3)), y=np.arange(N) % 3)
    assert load_new_study("mine.npz").data.task == "classes"
    np.savez("mine.npz", x=np.random.default_rng(0).random((N, 3)), y=np.arange(N) / 3)
    assert load_new_study("mine.npz", output=Path("m.toml")).data.task == "regression"


def test_useless_columns_are_left_out() -> None:
    table = write_table(
        Id=np.arange(1, N + 1),
        name=[f"house {index}" for index in range(N)],
        nothing=[None] * N,
    )
    config = load_new_study(table, target="price")
    assert config.data.ignore == ["Id", "name", "nothing"]
    text = Path(config.source).read_text()
    reasons = "Id numbers the rows; name has a different text in every row; nothing is empty"
    assert f"# {reasons}\n" in text
    assert "# features: area, kind=hut, kind=villa\n" in text
    assert 'task = "regression" # guessed, because the target has' in text
    other = write_new_study(str(table), Path("i.toml"), target="price", ignore=["kind"])
    assert other.notes[0] == (
        f'ignore = ["kind", "Id", "name", "nothing"]: {reasons}; to keep a column, delete its name '
        "from ignore in i.toml"
    )
    assert load(other.study).data.ignore == ["kind", "Id", "name", "nothing"]
    pd.read_csv(table).drop(columns=["nothing", "name", "Id"]).to_csv("houses.csv")
    assert load_new_study(table, target="price", output=Path("b.toml")).data.ignore == [
        "Unnamed: 0"
    ]


def test_each_guess_names_its_reason_and_how_to_change_it() -> None:
    table = write_table()
    new_study = write_new_study(str(table), target="kind", ignore=["area"])
    assert not any(note.startswith("ignore") for note in new_study.notes), "the user chose it"
    assert 'ignore = ["area"]\n' in Path(new_study.path).read_text()
    with pd.ExcelWriter("houses.xlsx") as book:
        pd.DataFrame({"about": ["the next sheet"]}).to_excel(book, sheet_name="About")
        pd.read_csv(table).to_excel(book, sheet_name="Sold", index=False)
    new_study = write_new_study("houses.xlsx", Path("x.toml"), target="price")
    assert new_study.notes[:2] == (
        "sheet = \"Sold\": the first visible one with the column 'price', not 'About'; "
        "to read another sheet, add --set 'data.sheet=NAME'",
        'task = "regression": guessed, because the target has many different numbers, '
        "or fractions; to predict classes, add --task classes",
    )
    folder = write_images(200, 100)
    note = write_new_study(str(folder), Path("p.toml")).notes[0]
    assert note.endswith("; to resize to another size, add --set 'data.size=[HEIGHT,WIDTH]'")


def test_a_validation_set_of_the_data_is_used_unless_a_fraction_is_chosen() -> None:
    for part in ("train", "val"):
        shutil.copytree(write_images(), Path("split") / part)
    new_study = write_new_study("split")
    config = load(new_study.path)
    assert config.data.own_validation
    assert "validation = 0" not in config.text
    assert "192 to train, 240 to validate, 48 to test, held out" in new_study.data
    assert new_study.notes[0] == (
        "own_validation = true: the data comes with a validation set; to split the data anew, add "
        "--set data.validation=0.2"
    )
    other = write_new_study("split", Path("o.toml"), overrides=["data.validation=0.25"])
    assert not load(other.path).data.own_validation
    assert (
        "to validate on its own validation set, add --set data.own_validation=true"
        in (other.notes[0])
    )
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.random((N, 3)), "y_train": np.arange(N) % 3}
    np.savez("mine.npz", **arrays, x_val=rng.random((9, 3)), y_val=np.arange(9) % 3)
    assert load_new_study("mine.npz").data.own_validation


def test_columns_that_are_left_out_are_named_if_none_remains() -> None:
    table = write_table(name=[f"house {number}" for number in range(N)])
    with pytest.raises(DataError) as caught:
        write_new_study(str(table), target="price", ignore=["kind", "area"])
    assert str(caught.value) == (
        "houses.csv: no column is left except the target 'price': name has a different text in "
        "every row, kind is left out by --ignore, area is left out by --ignore"
    )
    pd.read_csv(table)[["price"]].to_csv(table, index=False)
    with pytest.raises(DataError, match="except the target 'price': it has no other"):
        write_new_study(str(table), target="price")


@pytest.mark.parametrize("target", ["price", "kind"])
def test_another_decimal_mark_than_the_chosen_one_is_one_line(target: str) -> None:
    frame = pd.read_csv(write_table())
    frame["price"] = [f"{price / 100:.2f}".replace(".", ",") for price in frame["price"]]
    frame.to_csv("houses.csv", index=False, sep=";")
    with pytest.raises(DataError) as caught:
        write_new_study("houses.csv", target=target, overrides=["data.decimal=."])
    assert re.fullmatch(
        r"--set data.decimal=.: column 'price' has another decimal mark, as in '\d+,\d\d'; set it "
        r"to \",\", or leave it out to guess each column's",
        str(caught.value),
    )


@pytest.mark.parametrize("examples", [12, 100, 3000, 30_000])
def test_ranges_fit_the_number_of_examples(examples: int) -> None:
    rng = np.random.default_rng(0)
    np.savez("mine.npz", x=rng.random((examples, 3)), y=np.arange(examples) % 2)
    config = load_new_study("mine.npz")
    assert config.data.validation == (0.1 if examples == 30_000 else 0.2)
    train = make_plan(config.source, RunOptions(device="cpu")).prepare().sizes["train"]
    assert config.find_largest("batch_size") <= train / 2
    steps = train // config.find_largest("batch_size") * config.train["epochs"]
    assert 80 <= steps <= 10_000


def test_the_study_is_named_after_the_data_unless_a_shipped_study_has_the_name() -> None:
    new_study = write_new_study("digits")
    assert (new_study.path, load(new_study.path).data.name) == ("studies/digits.toml", "digits")
    Path("quickstart").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("quickstart/a.png")
    with pytest.raises(DataError, match="a folder with no classes"):
        write_new_study("quickstart")
    np.savez("quickstart.npz", x=np.random.default_rng(0).random((N, 3)), y=np.arange(N) % 3)
    assert write_new_study("quickstart.npz").path == "studies/my-quickstart.toml"


def test_unusual_names_are_escaped() -> None:
    odd = 'a "quoted" \\ näme\t#\xa0x'
    table = write_table(**{odd: np.arange(N) % 7 + 0.5})
    config = load_new_study(table, target=odd, task="regression")
    assert config.data.target == odd
    np.savez("mine.npz", x=np.zeros((N, 2)), y=np.array([odd, "b\nc = 1"])[np.arange(N) % 2])
    with pytest.raises(DataError, match="a name is 1 to 100 letters on one line"):
        write_new_study("mine.npz")


def test_an_existing_file_is_not_replaced() -> None:
    table = write_table()
    path = Path(write_new_study(str(table), target="price").path)
    before = path.read_text()
    with pytest.raises(ConfigError, match=r"studies/houses\.toml exists already; choose another"):
        write_new_study(str(table), target="kind")
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["houses.csv"], "name the column to predict; known: area, kind, price"),
        (["houses.csv", "--target", "prize"], "no column 'prize'; did you mean 'price'?"),
        (["houses.csv", "--target", "price", "--output", "x"], "a study file ends in .toml"),
        (["hauses.csv", "--target", "price"], "hauses.csv; did you mean 'houses.csv'?"),
        (["other/x.csv"], "other/x.csv; a relative path begins in the working directory"),
        (["other/x.csv"], "PATH|DATASET: no file or folder"),
        (
            ["digts"],
            "PATH|DATASET: no dataset 'digts'; did you mean 'digits'?; for custom data, give",
        ),
        (["notes.txt"], "notes.txt: .txt files are not supported; save it as one of .npz, .csv, "),
        (["few.tar.gz"], "few.tar.gz: is an archive; unpack it, and give what is in it"),
        (["./few"], "./few: a file without an ending is not supported; save it as one of .npz, "),
        (["digits", "--target", "x"], "--target: is for custom data"),
        (
            ["houses.csv", "--target", "price", "--ignore", "aria"],
            "--ignore: houses.csv has no col",
        ),
        (["houses.csv", "--target", "price", "--task", "classes"], "them by --task regression"),
        (
            ["gaps.csv", "--target", "price"],
            "as missing by --set 'data.columns.a b=number', or leave the column out by "
            "--ignore 'a b'",
        ),
        (["few.csv", "--target", "kind"], "0.2 cannot be held out: 1 of 4 examples cannot hold"),
    ],
)
def test_each_error_is_one_line(arguments: list[str], message: str) -> None:
    write_table()
    gaps = [f"{number},{number % 25 or '?'},{number}.5\n" for number in range(100)]
    Path("gaps.csv").write_text("area,a b,price\n" + "".join(gaps))
    Path("notes.txt").write_text("hello")
    Path("few").write_text("hello")
    Path("few.tar.gz").write_text("hello")
    Path("few.csv").write_text("area,kind\n1,hut\n7,hut\n3,villa\n5,villa\n")
    done = CliRunner().invoke(app, ["new-study", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("studies").exists()


def test_the_command_reports_what_it_wrote() -> None:
    write_table()
    arguments = ["new-study", "houses.csv", "--target", "price", "--output", "deep/er/mine.toml"]
    done = CliRunner().invoke(app, [*arguments, "--format", "json"])
    report = json.loads(done.stdout)
    assert (report["path"], report["task"]) == ("deep/er/mine.toml", "regression")
    assert report["study"] == "deep/er/mine.toml", "the file is not in ./studies"
    assert load(report["study"]).data.target == "price"


def test_the_columns_of_a_table_are_shown_with_what_becomes_of_them() -> None:
    table = write_table(
        sold=pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y"),
        name=[f"house {number}" for number in range(N)],
        rooms=[None if number % 3 else number % 5 for number in range(N)],
    )
    new_study = write_new_study(
        str(table), target="price", overrides=["data.columns.rooms=category", "data.time=sold"]
    )
    rows = {row["column"]: row for row in new_study.columns}
    assert [rows[name]["kind"] for name in ("area", "kind", "price", "sold", "name", "rooms")] == [
        "number", "category", "target", "date", "ignored", "category",
    ]  # fmt: skip
    assert rows["rooms"]["missing"] == sum(number % 3 > 0 for number in range(N))
    text = new_study.text(80)
    assert text.startswith("column  kind ")
    assert max(map(len, text.partition("\n\n")[0].splitlines())) <= 80
    config = load(new_study.path)
    assert (config.data.columns, config.data.time) == ({"rooms": "category"}, "sold")
    assert config.definition()["data"]["columns"] == {"rooms": "category"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.columns.area=numer", "'area' is one of number, .* did you mean 'number'"),
        ("data.encoding=utf9", "'utf9' is no encoding that Python knows"),
        ("data.stratify=true", "stratify: classes always have equal shares"),
    ],
)
def test_a_wrong_key_about_a_table_is_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load("quickstart", [override])
    assert "\n" not in str(caught.value)
