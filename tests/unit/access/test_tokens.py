"""API keys, passwords, access tokens and refresh tokens: what is taken, and every forgery that is not."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from streamflow.access import keys, passwords
from streamflow.access.changes import add_user, change_user
from streamflow.access.directory import Directory
from streamflow.access.key_changes import add_key, revoke_key
from streamflow.access.records import Family
from streamflow.access.session_changes import begin_session, end_session
from streamflow.access.sessions import Signing, _jwk, require_open
from streamflow.errors import OperationError, Rejected
from tests.access import MemoryAccess

SECRET = "0123456789abcdef" * 4
OLDER = "fedcba9876543210" * 4
NOW_MS = 1_700_000_000_000
KEY = "0123456789ab"


@pytest.fixture
def access() -> MemoryAccess:
    made = MemoryAccess(lambda: NOW_MS / 1000)
    made.change(lambda d, now: add_user(d, now, id="1", name="alice"))
    return made


@pytest.fixture
def secret(access: MemoryAccess) -> str:
    made = keys.new_secret()
    digest, expires_ms = keys.digest(made), NOW_MS + 1000
    access.change(lambda d, now: add_key(d, now, id=KEY, digest=digest, user="alice", name="ci", expires_ms=expires_ms))
    return made


@pytest.fixture
def family(access: MemoryAccess) -> Family:
    made = access.change(lambda d, now: begin_session(d, now, id="f" * 32, user="1", lasts_ms=10**9))
    assert isinstance(made.result, Family)
    return made.result


def code(function: Any, *given: Any, **named: Any) -> str:
    with pytest.raises((Rejected, OperationError)) as caught:
        function(*given, **named)
    return caught.value.code


def test_a_key_names_its_user(access: MemoryAccess, secret: str) -> None:
    record, user = keys.find(access.directory, keys.token(KEY, secret), NOW_MS)
    assert (record.id, user.name) == (KEY, "alice")
    assert secret not in str(access.directory.values)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sfk_",
        f"sfk_{KEY}",
        f"sfk_{KEY}_",
        f"sfk_{KEY}_{'A' * 43}",
        f"sfk_{'0' * 12}_{'A' * 43}",
        "sfk_ä_" + "A" * 43,
    ],
)
def test_a_wrong_key_is_refused_alike_whether_its_id_is_known(access: MemoryAccess, secret: str, given: str) -> None:
    assert code(keys.find, access.directory, given, NOW_MS) == "key_wrong"


def test_a_key_expires_is_revoked_and_ends_with_its_user(access: MemoryAccess, secret: str) -> None:
    token = keys.token(KEY, secret)
    assert code(keys.find, access.directory, token, NOW_MS + 1000) == "key_expired"
    access.change(lambda d, now: change_user(d, now, name="alice", disabled=True))
    assert code(keys.find, access.directory, token, NOW_MS) == "user_disabled"
    access.change(lambda d, now: change_user(d, now, name="alice", disabled=False))
    access.change(lambda d, now: revoke_key(d, now, id=KEY))
    assert code(keys.find, access.directory, token, NOW_MS) == "key_revoked"


@pytest.mark.parametrize("password", ["short", "a" * 30, "abab" * 8, "x" * 201, ""])
def test_a_weak_password_is_refused(password: str) -> None:
    assert code(passwords.hashed, password) == "password_weak"


def test_a_password_fits_its_hash_alone() -> None:
    kept = passwords.hashed("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert passwords.fits(kept, "correct horse battery")
    assert not passwords.fits(kept, "correct horse batterx")
    assert not passwords.fits(None, "correct horse battery")
    assert not passwords.fits("no hash", "correct horse battery")


def signing(*secrets: str, environment: str = "main") -> Signing:
    return Signing(secrets or (SECRET,), environment)


def test_an_access_token_is_of_its_session_for_its_time(access: MemoryAccess, family: Family) -> None:
    token = signing().access_token(family, now_ms=NOW_MS, seconds=900)
    found, user = signing().session(access.directory, token, NOW_MS + 899_000)
    assert (found.id, user.name) == (family.id, "alice")
    assert code(signing().session, access.directory, token, NOW_MS + 900_000) == "token_expired"


def test_an_access_token_ends_with_its_session(access: MemoryAccess, family: Family) -> None:
    late = msgspec.structs.replace(family, expires_ms=NOW_MS + 5000)
    token = signing().access_token(late, now_ms=NOW_MS, seconds=900)
    assert code(signing().read, token, "at+jwt", now_ms=NOW_MS + 5000) == "token_expired"
    access.change(lambda d, now: end_session(d, now, id=family.id, why="logout"))
    token = signing().access_token(family, now_ms=NOW_MS, seconds=900)
    assert code(signing().session, access.directory, token, NOW_MS) == "session_ended"


def test_a_rotated_signing_key_is_taken_until_it_is_removed(access: MemoryAccess, family: Family) -> None:
    token = signing(OLDER).access_token(family, now_ms=NOW_MS, seconds=900)
    refresh = signing(OLDER).refresh_token(family)
    rotated = signing(SECRET, OLDER)
    assert rotated.session(access.directory, token, NOW_MS)[1].name == "alice"
    assert rotated.read_refresh_token(refresh).family == family.id
    assert code(signing().session, access.directory, token, NOW_MS) == "token_wrong"
    assert code(signing().read_refresh_token, refresh) == "token_wrong"


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forgeries(family: Family) -> dict[str, str]:
    """Tokens that are not ours, by what is wrong with them."""
    good = signing().access_token(family, now_ms=NOW_MS, seconds=900)
    head, claims, signature = good.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    rsa = RSAKey.generate_key(2048)
    other = OctKey.import_key(SECRET)
    return {
        "no signature": f"{_part({'alg': 'none', 'typ': 'at+jwt'})}.{claims}.",
        "its signature cut off": f"{head}.{claims}.",
        "other claims": f"{head}.{_part(told | {'sub': '2'})}.{signature}",
        "another algorithm": jwt.encode({"alg": "RS256", "typ": "at+jwt"}, told, rsa),
        "a stronger algorithm of the same key": jwt.encode({"alg": "HS512", "typ": "at+jwt"}, told, other, ["HS512"]),
        "the secret itself as key": jwt.encode({"alg": "HS256", "typ": "at+jwt"}, told, other),
        "another kind": signing().signed(told, "login+jwt"),
        "the right key and another type": jwt.encode(
            {"alg": "HS256", "typ": "JWT"}, told, _jwk(SECRET.encode(), "at+jwt")
        ),
        "another installation": signing(environment="prod").access_token(family, now_ms=NOW_MS, seconds=900),
        "no expiry": signing().signed({key: value for key, value in told.items() if key != "exp"}, "at+jwt"),
        "an expiry that is no number": signing().signed(told | {"exp": "never"}, "at+jwt"),
        "another user": signing().signed(told | {"sub": "2"}, "at+jwt"),
        "another audience": signing().signed(told | {"aud": "other"}, "at+jwt"),
        "no session": signing().signed(told | {"sid": "0" * 32}, "at+jwt"),
        "two dots": "..",
        "nothing": "",
        "noise": "a.b.c",
        "letters that are none": "ä.ö.ü",
        "a key": f"sfk_{KEY}_{'A' * 43}",
        "very long": "a" * 20_000,
    }


def test_every_forged_access_token_is_refused(access: MemoryAccess, family: Family) -> None:
    taken = []
    for what, token in forgeries(family).items():
        try:
            signing().session(access.directory, token, NOW_MS)
        except Rejected as error:
            assert error.code in ("token_wrong", "session_ended"), what
        else:
            taken.append(what)
    assert taken == []


@pytest.mark.parametrize(
    "change", [("_1_", "_2_"), ("_1_", "_01_"), ("sfr_f", "sfr_e"), ("sfr_", "sfk_"), ("_1_", "_-1_")]
)
def test_a_forged_refresh_token_is_refused(family: Family, change: tuple[str, str]) -> None:
    token = signing().refresh_token(family)
    assert signing().read_refresh_token(token).generation == 1
    assert code(signing().read_refresh_token, token.replace(*change)) == "token_wrong"
    assert code(signing().read_refresh_token, token[:-1]) == "token_wrong"


def test_a_new_password_ends_the_sessions_that_were_open(family: Family) -> None:
    clock = [NOW_MS / 1000]
    access = MemoryAccess(lambda: clock[0])
    access.change(lambda d, now: add_user(d, now, id="1", name="alice"))
    old = access.change(lambda d, now: begin_session(d, now, id="o", user="1", lasts_ms=10**9)).result
    clock[0] += 1
    access.change(lambda d, now: change_user(d, now, name="alice", password="hash"))
    clock[0] += 1
    new = access.change(lambda d, now: begin_session(d, now, id="n", user="1", lasts_ms=10**9)).result
    assert code(require_open, access.directory, old, NOW_MS) == "session_ended"
    assert require_open(access.directory, new, NOW_MS).name == "alice"


def test_a_session_of_a_key_ends_with_the_key(access: MemoryAccess, secret: str) -> None:
    begun = access.change(lambda d, now: begin_session(d, now, id="k", user="1", lasts_ms=10**9, key=KEY)).result
    assert require_open(access.directory, begun, NOW_MS).name == "alice"
    access.change(lambda d, now: revoke_key(d, now, id=KEY))
    assert code(require_open, access.directory, begun, NOW_MS) == "key_revoked"
    assert code(require_open, Directory(), begun, NOW_MS) == "user_disabled"


@pytest.mark.parametrize("secret", ["short", "a" * 64, "abc" * 20, ""])
def test_a_signing_key_that_can_be_guessed_is_refused(secret: str) -> None:
    assert code(Signing, [secret], "main") == "signing_key_weak"
