"""``/v1/cozy/blobs``: the bytes of an image, a recording or a file in a stored message.

They are whatever somebody sent, so a browser is told to open nothing of them: the type is what the bytes themselves say,
never what their sender said, and they are a download without scripts, without a frame, and without another site's use.
"""

import re
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.errors import MissingError
from cozy_domain.sessions.media import sniffed
from cozy_domain.sessions.ports import BlobStore
from cozy_server.cozy.query import asked
from cozy_server.cozy.translate import BLOBS
from cozy_server.cozy.wire import OwnerQuery

UNKNOWN_TYPE = "application/octet-stream"
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "application/pdf": ".pdf",
}
_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, max-age=3600",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@get(BLOBS + "/{sha256:str}", media_type=UNKNOWN_TYPE, opt={"query": OwnerQuery}, tags=["Sessions"])
async def read_blob(
    request: Request[Any, Any, Any],
    sha256: FromPath[str],
    caller: NamedDependency[SkipValidation[Caller]],
    blobs: NamedDependency[SkipValidation[BlobStore]],
) -> Response[bytes]:
    """The bytes of an image, a recording or a file in a message. Query: `user_id`."""
    _, owner = asked(request, caller, OwnerQuery)
    found = await blobs.read(owner, (sha256,)) if _DIGEST.fullmatch(sha256) else ()
    if not found:
        raise MissingError("There are no such bytes.", code="blob_not_found", param="sha256")
    media_type = sniffed(found[0].data) or UNKNOWN_TYPE
    name = f"{sha256[:16]}{_SUFFIXES.get(media_type, '.bin')}"
    headers = {**_HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(found[0].data, media_type=media_type, headers=headers)


routes: list[HTTPRouteHandler] = [read_blob]
