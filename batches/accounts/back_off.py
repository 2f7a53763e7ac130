"""Wrong passwords slow down whoever types them; nobody can lock a named person out (docs/decisions/back-off.md).

Each failure within an hour is counted by who failed. From some number on, the next try has to wait, each time twice as long up
to a limit. A try that has to wait is not counted, so that hammering does not prolong the wait. A browser in which the person has
signed in before, and a one-time link, do not wait for what others did.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from batches.accounts.client_address import address_of
from batches.models import SignInFailure

WINDOW = timedelta(hours=1)
DEVICE_COOKIE = "ce_device"
DEVICE_SECONDS = 180 * 86400


@dataclass(frozen=True, slots=True)
class Pace:
    """So many failures are free. Then a try waits `first` seconds, doubled by each failure, at most `most`."""

    free: int
    first: float
    most: float

    def seconds(self, failures: int) -> float:
        return 0.0 if failures < self.free else min(self.most, self.first * 2.0 ** min(failures - self.free, 30))


PAIR = Pace(5, 5.0, 900.0)  # this name from this address
ADDRESS = Pace(20, 5.0, 300.0)  # any names from this address
NAME = Pace(50, 1.0, 15.0)  # this name from anywhere: too slow for guessing, and no lock
DEVICE = Pace(10, 5.0, 300.0)  # a browser in which this person has signed in before
SECOND = Pace(5, 5.0, 900.0)  # codes of one person from anywhere: who gets there has the password, so this locks out nobody else


@dataclass(frozen=True, slots=True)
class Trier:
    """Who tries to sign in: a keyed hash of the name (people type passwords there), the network, the known browser or "".

    Whoever tries second steps of a person is one trier, wherever from: its `device` is made of the person.
    """

    name: str
    network: str
    device: str
    pace: Pace = DEVICE  # of one with a device

    @classmethod
    def of(cls, username: str, address: str | None, cookie: str) -> "Trier":
        """`cookie` is the browser's device cookie, which counts for the person that it was made for only."""
        name = salted_hmac("batches.back_off", username.casefold()).hexdigest()[:32]
        return cls(name, network_of(address), device_of(cookie, username))

    @classmethod
    def of_second_step(cls, user: User) -> "Trier":
        return cls("", "", salted_hmac("batches.back_off.second_step", str(user.pk)).hexdigest()[:32], SECOND)

    def _counted(self, now: datetime) -> list[tuple[Pace, QuerySet[SignInFailure]]]:
        recent = SignInFailure.objects.filter(at__gt=now - WINDOW)
        if self.device:
            return [(self.pace, recent.filter(device=self.device))]
        unknown = recent.filter(device="")
        here = unknown.filter(network=self.network)
        return [(PAIR, here.filter(name=self.name)), (ADDRESS, here), (NAME, unknown.filter(name=self.name))]

    def seconds_to_wait(self, now: datetime) -> float:
        """How long the next try has to wait; 0 for not at all."""
        longest = 0.0
        for pace, rows in self._counted(now):
            last = rows.aggregate(last=Max("at"))["last"]
            if last is not None:
                longest = max(longest, pace.seconds(rows.count()) - (now - last).total_seconds())
        return longest

    def enter(self) -> float:
        """Count a try as failed before its password is looked at, so that many at once do not pass; `succeeded` takes it back.

        Returns how long to wait instead, in seconds; 0 when it was counted.
        """
        now = timezone.now()
        if wait := self.seconds_to_wait(now):
            return wait
        SignInFailure.objects.filter(at__lt=now - WINDOW).delete()
        SignInFailure.objects.create(at=now, name=self.name, network=self.network, device=self.device)
        return 0.0

    def succeeded(self) -> None:
        """Forget this trier's failures. Those of others with this name from elsewhere stay."""
        mine = {"device": self.device} if self.device else {"network": self.network, "device": ""}
        SignInFailure.objects.filter(name=self.name, **mine).delete()


class BackOff:
    """The first of the authentication backends: it lets nobody in, it only refuses tries that have to wait.

    It notes on the request `sign_in_trier`, and `sign_in_wait` in seconds for a refusal.
    """

    def authenticate(self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any) -> None:
        """Raises PermissionDenied, before any password is looked at."""
        if request is None or username is None or password is None:
            return
        trier = Trier.of(username, address_of(request), request.COOKIES.get(DEVICE_COOKIE, ""))
        noted: Any = request
        noted.sign_in_trier, noted.sign_in_wait = trier, trier.enter()
        if noted.sign_in_wait:
            raise PermissionDenied


def signed_in(sender: object, request: HttpRequest | None, **_: Any) -> None:
    """Receives user_logged_in."""
    trier = getattr(request, "sign_in_trier", None)
    if trier is not None:
        trier.succeeded()


def network_of(address: str | None) -> str:
    """The address, or the /64 network of an IPv6 address, of which one machine has many; "" if there is none."""
    if not address:
        return ""
    return str(ip_network(f"{address}/64" if ":" in address else address, strict=False).network_address)


def device_cookie(user: User) -> str:
    """A cookie that makes this browser known for `user`, until the password changes."""
    return signing.dumps([secrets.token_hex(8), user.pk], salt=_salt(user))


def device_of(cookie: str, username: str) -> str:
    """The browser's id, if the cookie was made for the person of this name; "" otherwise."""
    if not cookie or "\0" in username or len(username) > 150:
        return ""
    user = User.objects.filter(username=username).first()
    if user is None:
        return ""
    try:
        device, pk = signing.loads(cookie, salt=_salt(user), max_age=DEVICE_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(device) if pk == user.pk else ""


def _salt(user: User) -> str:
    return f"batches.back_off.device.{user.pk}.{user.password}"
