"""`cozy config`: the settings in force."""

from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import show
from cozy_server.settings.secret import MASK, Secret
from cozy_server.settings.shape import dotted


def show_all(data: str | None, config: str | None, *, origin: bool, development: bool, as_json: bool) -> None:
    """
    Raises:
        SettingsError: something is wrong in one of the sources.
    """
    loaded = settings_from(data=data, config=config, development=development)
    rows: list[dict[str, object]] = [
        {"setting": dotted(path), "value": _shown(value, as_json=as_json)} for path, value in loaded.rows()
    ]
    if origin:
        rows = [
            {**row, "origin": loaded.origin(path)} for row, (path, _) in zip(rows, loaded.rows(), strict=True)
        ]
    show(rows, as_json=as_json)


def _shown(value: object, *, as_json: bool) -> object:
    if isinstance(value, Secret):
        return MASK
    return ", ".join(map(str, value)) if isinstance(value, tuple) and not as_json else value
