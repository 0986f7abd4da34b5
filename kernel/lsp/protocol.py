"""The protocol's messages, with an answer also for requests that make no sense."""

from __future__ import annotations

import json
from typing import Any

from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol


class AnsweringProtocol(LanguageServerProtocol):
    """pygls only logs a request whose parameters it cannot read; the client would wait for ever."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The message that `data` stands for. Raises: JsonRpcException if it stands for none."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and isinstance(data.get("id"), int | str):
                self._refuse(data["id"], error)
            raise

    def _refuse(self, identity: int | str, error: JsonRpcException) -> None:
        fault = {"code": error.code, "message": str(error.__cause__ or error)}
        body = json.dumps({"jsonrpc": "2.0", "id": identity, "error": fault}).encode()
        if self.writer is not None:
            self.writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
