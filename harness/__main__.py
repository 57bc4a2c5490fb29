"""`harness` and `python -m harness`. Light: worker processes may import it."""


def main() -> None:
    from harness.cli.main import run

    run()


if __name__ == "__main__":
    main()
