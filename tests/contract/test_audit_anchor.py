"""What every AuditAnchor promises."""

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from cozy_adapters.files.audit_anchor import FileAuditAnchor
from cozy_adapters.inmemory.audit_anchor import InMemoryAuditAnchor
from cozy_domain.audit.chain import UNREADABLE, Anchor, anchor_at, seal
from cozy_domain.audit.ports import AuditAnchor
from cozy_domain.errors import StorageUnavailableError
from tests.fixtures.turns import AUDIT_KEY, record

FIRST, SECOND, THIRD = (
    anchor_at(AUDIT_KEY, last) for last in seal(AUDIT_KEY, None, (record(1), record(2), record(3)))
)


def modes(folder: Path) -> dict[str, int]:
    return {it.name: it.stat().st_mode & 0o777 for it in folder.iterdir()}


class AuditAnchorContract(ABC):
    @pytest.fixture
    @abstractmethod
    def place(self, tmp_path: Path) -> object: ...

    @pytest.fixture
    @abstractmethod
    def broken(self, tmp_path: Path) -> object: ...

    async def test_at_first_there_is_none(self, place: AuditAnchor) -> None:
        assert await place.read() is None

    async def test_the_last_one_written_is_there(self, place: AuditAnchor) -> None:
        for anchor in (FIRST, THIRD, SECOND, UNREADABLE, SECOND):
            await place.write(anchor)
            assert await place.read() == anchor

    async def test_writers_at_once_leave_one_of_theirs(self, place: AuditAnchor) -> None:
        await asyncio.gather(*(place.write(it) for it in (FIRST, SECOND, THIRD) * 4))
        assert await place.read() in (FIRST, SECOND, THIRD)

    async def test_a_reader_beside_a_writer_sees_whole_anchors(self, place: AuditAnchor) -> None:
        async def written() -> None:
            for anchor in (FIRST, SECOND, THIRD) * 10:
                await place.write(anchor)

        writing = asyncio.create_task(written())
        while not writing.done():
            assert await place.read() in (None, FIRST, SECOND, THIRD)
            await asyncio.wait((writing,), timeout=0)
        await writing

    async def test_a_place_that_does_not_answer_is_an_error_never_nothing(self, broken: AuditAnchor) -> None:
        with pytest.raises(StorageUnavailableError):
            await broken.read()
        with pytest.raises(StorageUnavailableError):
            await broken.write(FIRST)


class TestInMemoryAuditAnchor(AuditAnchorContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> AuditAnchor:
        return InMemoryAuditAnchor()

    @pytest.fixture
    def broken(self, tmp_path: Path) -> AuditAnchor:
        return InMemoryAuditAnchor(available=False)


class TestFileAuditAnchor(AuditAnchorContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> AuditAnchor:
        return FileAuditAnchor(tmp_path / "data" / "audit.anchor")

    @pytest.fixture
    def broken(self, tmp_path: Path) -> AuditAnchor:
        (tmp_path / "audit.anchor").mkdir()
        return FileAuditAnchor(tmp_path / "audit.anchor")

    async def test_nobody_else_may_read_it_and_nothing_else_is_left(
        self, place: AuditAnchor, broken: AuditAnchor, tmp_path: Path
    ) -> None:
        await place.write(FIRST)
        await place.write(SECOND)
        assert modes(tmp_path / "data") == {"audit.anchor": 0o600}
        with pytest.raises(StorageUnavailableError):
            await broken.write(FIRST)
        assert modes(tmp_path).keys() == {"audit.anchor", "data"}

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"null", b"\xff\xfe", b"[" * 9_000, b'{"seal":1,"mac":""}']
    )
    async def test_what_cannot_be_read_is_an_anchor_that_is_not_genuine(
        self, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "audit.anchor").write_bytes(content)
        found: Anchor | None = await FileAuditAnchor(tmp_path / "audit.anchor").read()
        assert found == UNREADABLE
