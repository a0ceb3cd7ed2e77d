"""Whether an optional package is there."""

from importlib.util import find_spec


def is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was put out of the way
        return False
