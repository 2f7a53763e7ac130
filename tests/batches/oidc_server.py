"""An identity provider on this machine, as OpenID Connect Core 1.0, Discovery 1.0 and RFC 7636 describe one.

It signs in whoever `person` says. `change` alters the claims of the next ID tokens, and `sign` how they are signed.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.local_server import LocalServer, serving

CLIENT, SECRET = "ce-web", "the client's secret: %&+"


class Provider(LocalServer):
    def __init__(self) -> None:
        super().__init__(_Handler)
        self.person: dict[str, Any] = {"sub": "1234", "preferred_username": "ada", "email": "ada@example.org"}
        self.change: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.about: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.change_keys("first")

    def change_keys(self, name: str) -> None:
        """From now on there is one key, with this name, and no other."""
        self.keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def signed(self, claims: dict[str, Any]) -> str:
        (name, key), *_ = self.keys.items()
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": name})

    def described(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        } | self.about

    def shown_keys(self) -> dict[str, Any]:
        keys = [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) for key in self.keys.values()]
        return {"keys": [key | {"kid": name, "use": "sig", "alg": "RS256"} for name, key in zip(self.keys, keys, strict=True)]}

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], "auth_time": now}
        claims |= self.person | self.change
        return self.sign({name: value for name, value in claims.items() if value is not None})


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append(parts.path)
        if parts.path == "/.well-known/openid-configuration":
            self._json(200, self.server.described())
        elif parts.path == "/keys":
            self._json(200, self.server.shown_keys())
        elif parts.path == "/authorize":
            self._authorize({name: values[0] for name, values in parse_qs(parts.query).items()})
        else:
            self._json(404, {})

    def _authorize(self, asked: dict[str, str]) -> None:
        known = asked.get("client_id") == CLIENT and asked.get("response_type") == "code" and "openid" in asked.get("scope", "").split()
        if not known or asked.get("code_challenge_method") != "S256" or not asked.get("nonce") or not asked.get("state"):
            self._json(400, {"error": "invalid_request"})
            return
        code = secrets.token_urlsafe(16)
        self.server.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.server.url}
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(answer)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        form = {name: values[0] for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        kind, _, proof = self.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(proof).decode().partition(":") if kind == "Basic" else ("", "", "")
        asked = self.server.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if (unquote(name), unquote(secret)) != (CLIENT, SECRET):
            self._json(401, {"error": "invalid_client"})
        elif asked is None or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != challenge:
            self._json(400, {"error": "invalid_grant"})
        else:
            token = self.server.token(asked)
            self._json(200, {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token})

    def _json(self, status: int, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def provider() -> Iterator[Provider]:
    made = Provider()
    with serving(made):
        yield made
