"""The floors of the package: imports run downward only, and the pure floors know no I/O."""

from importlinter import cli


def test_import_contracts_hold() -> None:
    assert cli.lint_imports(no_cache=True, no_logo=True) == cli.EXIT_STATUS_SUCCESS
