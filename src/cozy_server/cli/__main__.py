"""Entry point of the `cozy` command, importable without any extra.

The bare wheel installs this script but none of the server's packages, so the commands are imported only here, and a
missing package becomes one line that says what to type.
"""

import importlib
import sys
from collections.abc import Callable
from typing import cast

INTERRUPTED = 130
"""Ctrl-C, as shells report it; `telling` has it too, whose imports are the ones that take time."""
OUR_PACKAGES = frozenset({"cozy_domain", "cozy_adapters", "cozy_server"})


def main() -> None:
    """Run the `cozy` command; exit 2 with the pip line if the `server` extra is not installed."""
    try:
        module = importlib.import_module("cozy_server.cli.app")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in OUR_PACKAGES:
            raise  # a fault of ours, not of the installation
        sys.stderr.write(
            f"cozy needs {missing}, which is not installed. Type: pip install 'cozy-engine[server]'\n"
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # while the commands are imported; from here on they hear it themselves
        raise SystemExit(INTERRUPTED) from None
    cast(Callable[[], None], module.main)()


if __name__ == "__main__":
    main()
