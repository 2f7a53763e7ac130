"""Sign-in by an identity provider: OpenID Connect's authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

The provider describes itself (discovery). Its ID token is believed only if it is signed by one of the provider's present keys and
is for this installation, for this very request, and for now.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import jwt
from django.conf import settings
from django.core.cache import cache

from batches.accounts.identities import Claims
from batches.core.errors import ServiceError
from batches.integrations.limited_client import LimitedClient, TooLarge, read_json

SECONDS, ANSWER_BYTES = 8.0, 512 * 1024
KEPT_SECONDS = 3600  # of what the provider says about itself; its keys are asked again when a token has an unknown one
CLOCK_SECONDS = 60
AGAIN_SECONDS = 300  # who is to prove again who they are must have done so within this time
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Signatures by the provider's private key only: "none", and hashes keyed with the client's secret, prove less.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
KEY_TYPES = ("RSA", "EC", "OKP")


class ProviderError(ServiceError):
    """Why a sign-in by the provider failed, as a sentence. It names no secret, code or token."""


def begin(callback: str, *, again: bool = False) -> tuple[str, dict[str, str]]:
    """(the address to send the browser to, what to keep for `finish`). `again` asks the provider to have the person sign in anew.

    Raises ProviderError.
    """
    kept = {"state": secrets.token_urlsafe(32), "nonce": secrets.token_urlsafe(32), "verifier": secrets.token_urlsafe(48)}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(kept["verifier"].encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": settings.CE_OIDC_CLIENT_ID,
        "redirect_uri": callback,
        "scope": settings.CE_OIDC_SCOPE,
        "state": kept["state"],
        "nonce": kept["nonce"],
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if again:
        query |= {"prompt": "login", "max_age": "0"}
    address = _described("authorization_endpoint")
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}", kept


def finish(callback: str, answer: Mapping[str, str], kept: Mapping[str, str], *, again: bool = False) -> Claims:
    """What the provider says of the person who came back with the query `answer`. Raises ProviderError."""
    if not kept or not secrets.compare_digest(answer.get("state", "").encode(), kept["state"].encode()):
        raise ProviderError("This sign-in was not begun in this browser, or too long ago. Start again.")
    if "iss" in answer and answer["iss"] != _described("issuer"):  # RFC 9207
        raise ProviderError("Another provider answered than was asked.")
    if answer.get("error") or not answer.get("code"):
        raise ProviderError(f"The provider refused: {_plain(answer.get('error_description') or answer.get('error') or 'no reason given')}")
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": callback, "code_verifier": kept["verifier"]}
    token = _ask("POST", _described("token_endpoint"), **_as_client(form)).get("id_token")
    if not isinstance(token, str):
        raise ProviderError("The provider sent no ID token.")
    return _claims(_checked(token, kept["nonce"]), again)


def _claims(said: Mapping[str, Any], again: bool) -> Claims:
    at = said.get("auth_time")
    signed_in_at = float(at) if isinstance(at, int | float) and not isinstance(at, bool) else None
    if again and (signed_in_at is None or not -CLOCK_SECONDS <= time.time() - signed_in_at < AGAIN_SECONDS):
        raise ProviderError("The provider does not say that you signed in there just now (auth_time).")
    groups = said.get(settings.CE_OIDC_GROUPS, [])
    groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Claims(
        issuer=settings.CE_OIDC_ISSUER,
        subject=str(said["sub"]),
        name=_plain(said.get("preferred_username")),
        email=_plain(said.get("email")),
        groups=tuple(group for group in groups if isinstance(group, str)),
        signed_in_at=signed_in_at,
    )


def _checked(token: str, nonce: str) -> dict[str, Any]:
    """The claims of a token that passes the checks of OpenID Connect Core, 3.1.3.7. Raises ProviderError."""
    try:
        client = settings.CE_OIDC_CLIENT_ID
        said: dict[str, Any] = jwt.decode(
            token,
            _key_of(token),
            algorithms=ALGORITHMS,
            audience=client,
            issuer=_described("issuer"),
            leeway=CLOCK_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise ProviderError(f"The provider's ID token is not valid: {error}.") from None
    if isinstance(said["aud"], list) and len(said["aud"]) > 1 and said.get("azp") != client:
        raise ProviderError("The provider's ID token was made for another application.")
    if not secrets.compare_digest(str(said.get("nonce", "")).encode(), nonce.encode()):
        raise ProviderError("The provider's ID token answers another request.")
    if not said["sub"] or len(str(said["sub"])) > 255:
        raise ProviderError("The provider's ID token names nobody.")
    return said


def _key_of(token: str) -> jwt.PyJWK:
    """The provider's key that the token names, or its only one. Asked anew once: providers change their keys."""
    name = jwt.get_unverified_header(token).get("kid")
    for fresh in (False, True):
        keys = [key for key in _keys(fresh) if name is None or key.key_id == name]
        if len(keys) == 1:
            return keys[0]
    raise ProviderError("The provider's ID token is signed with a key that the provider does not show.")


def _keys(fresh: bool) -> list[jwt.PyJWK]:
    shown = _kept("keys", _described("jwks_uri"), fresh).get("keys")
    found = []
    for one in shown if isinstance(shown, list) else []:
        if isinstance(one, dict) and one.get("kty") in KEY_TYPES and one.get("use", "sig") == "sig":
            try:
                found.append(jwt.PyJWK.from_dict(one))
            except jwt.PyJWTError:
                continue  # a kind of key that is not known here
    return found


def _described(name: str) -> str:
    """What the provider says of itself in its discovery document. Raises ProviderError."""
    about = _kept("about", f"{settings.CE_OIDC_ISSUER}/.well-known/openid-configuration", False)
    value = about.get(name)
    if not isinstance(value, str):
        raise ProviderError(f"The provider does not say its {name}.")
    if name == "issuer" and value.rstrip("/") != settings.CE_OIDC_ISSUER:
        raise ProviderError("The provider calls itself otherwise than CE_OIDC_ISSUER does.")
    return value


def _kept(what: str, address: str, fresh: bool) -> dict[str, Any]:
    name = f"oidc-{what}-{hashlib.sha256(address.encode()).hexdigest()}"
    found: dict[str, Any] | None = None if fresh else cache.get(name)
    if found is None:
        found = _ask("GET", address)
        cache.set(name, found, KEPT_SECONDS)
    return found


def _as_client(form: dict[str, str]) -> dict[str, Any]:
    """The form with the proof that this installation sends it: in a header, or in the form if the provider wants."""
    client, secret = settings.CE_OIDC_CLIENT_ID, settings.CE_OIDC_CLIENT_SECRET
    if not secret:  # a public client: PKCE is the proof
        return {"data": form | {"client_id": client}}
    ways = _kept("about", f"{settings.CE_OIDC_ISSUER}/.well-known/openid-configuration", False).get(
        "token_endpoint_auth_methods_supported", ["client_secret_basic"]
    )
    if isinstance(ways, list) and "client_secret_basic" not in ways:
        return {"data": form | {"client_id": client, "client_secret": secret}}
    proof = base64.b64encode(f"{quote(client, safe='')}:{quote(secret, safe='')}".encode()).decode()  # RFC 6749, 2.3.1
    return {"data": form, "headers": {"Authorization": f"Basic {proof}"}}


def _ask(method: str, address: str, **request: Any) -> dict[str, Any]:
    """The provider's answer as a JSON object. Over https or on this machine; no redirects. Raises ProviderError."""
    parts = urlsplit(address)
    local = parts.hostname in LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ProviderError("The provider names an address that is not https.")
    try:
        with closing(LimitedClient(seconds=SECONDS, most=ANSWER_BYTES, trust_env=not local)) as client:
            answer, body = client.ask(method, address, **request)
        data = read_json(body)
    except (TooLarge, httpx.TimeoutException):
        raise ProviderError("The provider's answer is too large or too slow.") from None
    except httpx.HTTPError as error:
        raise ProviderError(f"The provider could not be reached ({type(error).__name__}).") from None
    except ValueError:
        data = None
    if answer.status_code != 200 or not isinstance(data, dict):
        said = data.get("error") if isinstance(data, dict) else None
        raise ProviderError(f"The provider answered with status {answer.status_code}{f' ({_plain(said)})' if said else ''}.")
    return data


def _plain(text: object) -> str:
    """Text of the provider's that may be shown and stored: printable, and not long."""
    return "".join(letter for letter in str(text or "") if letter.isprintable())[:150]
