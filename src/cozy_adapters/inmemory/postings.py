"""Where each term stands: what the searches of this package look things up in."""

from collections import Counter
from collections.abc import Mapping

from cozy_domain.text import terms


class Postings:
    """Texts by a number that their owner gives them; it keeps count as they come and go."""

    def __init__(self, lengths: dict[int, int] | None = None) -> None:
        """``lengths`` may be shared with other postings whose numbers are others."""
        self.lengths = {} if lengths is None else lengths
        """Terms of each text."""
        self.length = 0
        """Terms of all texts."""
        self._counts: dict[int, Counter[str]] = {}
        self._holding: dict[str, dict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def holding(self, term: str) -> Mapping[int, int]:
        """Which texts have it, and how often."""
        return self._holding.get(term, {})

    def put(self, number: int, text: str) -> None:
        """``number`` is a new one."""
        counts = self._counts[number] = Counter(terms(text))
        self.lengths[number] = counts.total()
        self.length += counts.total()
        for term, times in counts.items():
            self._holding.setdefault(term, {})[number] = times

    def take_out(self, number: int) -> None:
        self.length -= self.lengths.pop(number)
        for term in self._counts.pop(number):
            del self._holding[term][number]
            if not self._holding[term]:
                del self._holding[term]
