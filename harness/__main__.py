"""The entry point of `harness` and `python -m harness`, light because workers may import it."""


def main() -> None:
    from harness.cli.main import run

    run()


if __name__ == "__main__":
    import sys
    from pathlib import Path

    # `python -m` puts the current folder first on the import path, where a `random.py` would
    # replace Python's.
    if Path(sys.path[0]) == Path.cwd() != Path(__file__).parents[1]:
        del sys.path[0]
    main()
