"""Why a request is not answered, in the form of OpenAI's protocol."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not answered.

    Args:
        message: what is wrong, and what is allowed.
        status: of HTTP.
        param: the field that is wrong.
        code: a word for programs.
        after: seconds after which it may be sent again.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code, self.after = message, status, param, code, after

    @property
    def content(self) -> dict[str, Any]:
        """The body of the answer."""
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, beside those of every answer."""
        made = {"Retry-After": str(self.after)} if self.after is not None else {}
        return made | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})
