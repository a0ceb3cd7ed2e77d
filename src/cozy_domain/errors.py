"""Every error the domain raises.

::

    CozyError
    ├── InputError                the caller sent something wrong; ``param`` names where
    ├── AccessError               no credential, a wrong one, or one without the right
    ├── MissingError              what was named does not exist for this caller
    ├── LimitError                too much, too soon or too many; ``retry_after_s`` says when to come back
    ├── ProviderError             a model, speech or embedding provider failed
    │   ├── ProviderTimeoutError
    │   ├── ProviderUnavailableError
    │   ├── ProviderOverloadedError
    │   ├── ProviderRefusedError
    │   └── ProviderMalformedError
    ├── StorageError
    │   ├── StorageUnavailableError
    │   └── StorageConflictError
    ├── ToolError
    ├── PluginError
    ├── ConfigError
    └── ProtocolError
        ├── LocalProtocolError    our side broke the order of calls
        └── RemoteProtocolError   the peer did

``code`` is stable, lower snake case and never translated; it is OpenAI's own code where one exists. Messages name the
thing and the limit, never the user's text. HTTP statuses live in ``cozy_server.problems``.
"""

from typing import ClassVar, Literal


class CozyError(Exception):
    """The root. ``hint`` says what to do about it; ``param`` is a JSON path into the request."""

    default_code: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.param}: {self.message}" if self.param else self.message


class InputError(CozyError):
    default_code = "invalid_value"


class AccessError(CozyError):
    default_code = "permission_denied"


class MissingError(CozyError):
    default_code = "not_found"


class LimitError(CozyError):
    default_code = "rate_limit_exceeded"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, hint=hint)
        self.retry_after_s = retry_after_s


class ProviderError(CozyError):
    """``retry_after_s`` is the provider's own wish, ``billed`` whether it may already have charged for the work,
    ``retried`` whether the chain's one retry is spent on it."""

    default_code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
        billed: bool = False,
    ) -> None:
        super().__init__(message, code=code, param=param, hint=hint)
        self.provider = provider
        self.retry_after_s = retry_after_s
        self.billed = billed
        self.retried = False


class ProviderTimeoutError(ProviderError):
    default_code = "provider_timeout"
    retryable = True


class ProviderUnavailableError(ProviderError):
    """Refused connection, reset, DNS or TLS failure, 5xx, or an open breaker."""

    default_code = "provider_unavailable"
    retryable = True


OVERLOADED = "provider_overloaded"


class ProviderOverloadedError(ProviderError):
    """429: we ask too much; or 529, with the code `OVERLOADED`: everybody does."""

    default_code = "rate_limit_exceeded"
    retryable = True


class ProviderRefusedError(ProviderError):
    """The provider understood and said no (4xx). ``about`` is what it minds: our credential, the model, or the request
    itself; then message, ``code`` and ``param`` are the provider's own, for the caller who wrote it."""

    default_code = "provider_refused"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        about: Literal["credential", "model", "request"] = "request",
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, provider=provider, code=code, param=param, hint=hint)
        self.about = about


class ProviderMalformedError(ProviderError):
    """The answer does not follow the provider's protocol."""

    default_code = "provider_malformed"


class StorageError(CozyError):
    default_code = "storage_error"


class StorageUnavailableError(StorageError):
    default_code = "storage_unavailable"
    retryable = True


class StorageConflictError(StorageError):
    default_code = "storage_conflict"


class ToolError(CozyError):
    """A tool failed; the message is told to the model, so it holds nothing secret."""

    default_code = "tool_failed"


class PluginError(CozyError):
    default_code = "plugin_error"


class ConfigError(CozyError):
    """``str`` is what a person reads: file, line, field and what is accepted."""

    default_code = "config_error"


class ProtocolError(CozyError):
    default_code = "protocol_error"


class LocalProtocolError(ProtocolError):
    default_code = "local_protocol_error"


class RemoteProtocolError(ProtocolError):
    default_code = "remote_protocol_error"
