"""What the clock says, in Chinese (pure)."""

import re

from cozy_adapters.offline.questions import CITIES

_WEEKDAYS = {
    "Monday": "星期一",
    "Tuesday": "星期二",
    "Wednesday": "星期三",
    "Thursday": "星期四",
    "Friday": "星期五",
    "Saturday": "星期六",
    "Sunday": "星期日",
}
_TIME = re.compile(
    rf"({'|'.join(_WEEKDAYS)}),? (\d{{4}})-(\d\d)-(\d\d) (\d\d:\d\d(?::\d\d)?)(?:,? ([^\s(]+))?(?: \((.+)\))?"
)
_PLACES = {zone: place for place, zone in reversed(CITIES.items())}
"""Of several cities in a zone the one that ``CITIES`` names first."""


def in_chinese(told: str) -> str:
    """``2026年11月22日，星期日，16:11:34，巴黎时间（UTC+01:00）``.

    For the clock's ``Sunday, 2026-11-22 16:11:34, Europe/Paris (UTC+01:00)``, and likewise for the prompt's
    ``Sunday 2026-11-22 16:11 Europe/Paris``; a text of another form is left as it is.
    """
    found = _TIME.fullmatch(told.strip())
    if found is None:
        return told
    weekday, year, month, day, clock, zone, offset = found.groups()
    shown = [f"{year}年{int(month)}月{int(day)}日", _WEEKDAYS[weekday], clock]
    if zone:
        place = f"{_PLACES[zone]}时间" if zone in _PLACES else zone
        shown.append(f"{place}（{offset}）" if offset and zone != "UTC" else place)
    return "，".join(shown)
