"""From command-line options to settings; imports nothing of what they configure."""

from cozy_server.settings.load import Flags, Loaded, load


def settings_from(
    *,
    data: str | None = None,
    config: str | None = None,
    more: Flags | None = None,
    development: bool = False,
) -> Loaded:
    """
    Raises:
        SettingsError: something is wrong in one of the sources.
    """
    flags = {"--data": (("data", "folder"), data), **(more or {})}
    return load(flags=flags, config=config, development=development)
