"""The entry point of `harness` and `python -m harness`, light because workers may import it."""


def main() -> None:
    from harness.cli.main import run

    run()


if __name__ == "__main__":
    main()
