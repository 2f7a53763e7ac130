"""Answers to the library `requests` within a size: nothing packed is asked for or taken, for 3 kB may unpack to gigabytes."""

import io
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError
from urllib3 import HTTPResponse

ANSWER_BYTES = 1_000_000


class LimitedAdapter(HTTPAdapter):
    """Every session's way to http and https, in the place of the library's own."""

    def add_headers(self, request: PreparedRequest, **_more: Any) -> None:
        request.headers["Accept-Encoding"] = "identity"

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        if resp.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            resp.close()
            raise ContentDecodingError("the answer is packed, which was not asked for")
        data = resp.read(ANSWER_BYTES + 1, decode_content=False)
        if len(data) > ANSWER_BYTES:
            resp.close()
            raise ContentDecodingError("the answer is too large")
        resp.release_conn()
        about = {"reason": resp.reason, "preload_content": False, "original_response": resp._original_response}
        whole = HTTPResponse(io.BytesIO(data), resp.headers, resp.status, **about)
        return super().build_response(req, whole)
