"""`streamflow access`: users, grants, API keys and sessions."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.access import keys as key_texts
from streamflow.access import passwords
from streamflow.access.accounting import Make
from streamflow.access.changes import add_grant, add_user, change_user, remove_grant
from streamflow.access.directory import Directory
from streamflow.access.key_changes import add_key, require_key, revoke_key, rotate_key
from streamflow.access.records import ApiKey, shown
from streamflow.access.rights import RIGHTS, Role
from streamflow.access.session_changes import end_session
from streamflow.access.topic import AccessTopic
from streamflow.cli import access_subscriptions, output
from streamflow.cli.actor import actor
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.errors import Rejected

app = typer.Typer(add_completion=False, help="Access control.", no_args_is_help=True, rich_markup_mode=None)
users = typer.Typer(
    add_completion=False, help="People and service accounts.", no_args_is_help=True, rich_markup_mode=None
)
grants = typer.Typer(
    add_completion=False, help="Roles of users and groups.", no_args_is_help=True, rich_markup_mode=None
)
keys = typer.Typer(add_completion=False, help="API keys.", no_args_is_help=True, rich_markup_mode=None)
sessions = typer.Typer(add_completion=False, help="Sessions of users.", no_args_is_help=True, rich_markup_mode=None)
for _name, _group in (("users", users), ("grants", grants), ("keys", keys), ("sessions", sessions)):
    app.add_typer(_group, name=_name)
app.add_typer(access_subscriptions.app, name="subscriptions")

_DAY_MS = 86_400_000
Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the user")]
Definitions = Annotated[
    list[str] | None,
    typer.Option("--definition", help="limits the role to definitions: a name, with * for any text"),
]
PasswordFile = Annotated[
    Path | None, typer.Option(help="file with the password, `-` for stdin; default: ask at the terminal")
]
Days = Annotated[int, typer.Option(min=0, max=3650, help="days until it expires; 0: never")]


def _change(ctx: typer.Context, make: Make) -> tuple[Any, Directory]:
    """The result of a change, and the directory after it."""
    with AccessTopic(session_of(ctx).settings) as access:
        access.require_loaded()
        return access.change(actor(), make).result, access.directory


def _directory(ctx: typer.Context) -> Directory:
    with AccessTopic(session_of(ctx).settings) as access:
        return access.require_loaded()


def _password(file: Path | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise Rejected("password_missing", "There is no terminal to ask for a password. Give --password-file.")
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected("password_missing", f"The password cannot be read from {file}. Give a text file.") from error
    return text.removesuffix("\n").removesuffix("\r")


@users.command("add", epilog=examples("access users add alice --role admin", "access users add shop --service"))
def add(
    ctx: typer.Context,
    name: Name,
    role: Annotated[Role | None, typer.Option(help="role of the user")] = None,
    definitions: Definitions = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="a group of the user; may be given several times")
    ] = None,
    service: Annotated[bool, typer.Option("--service", help="a service account: API keys only")] = False,
    password_file: PasswordFile = None,
    issuer: Annotated[str | None, typer.Option(help="identity provider of the person, with --subject")] = None,
    subject: Annotated[
        str | None, typer.Option(help="the person's `sub` at the provider, instead of a password")
    ] = None,
) -> None:
    """Adds a user. The first user is an admin; from then on the sidecar requires authentication."""
    directory = _directory(ctx)
    if directory.is_open and role is not Role.ADMIN:
        raise Rejected("last_admin", "The first user must be an admin, who can make the others. Add --role admin.")
    with_password = not service and subject is None
    kept = passwords.hashed(_password(password_file)) if with_password else None
    id = secrets.token_hex(8)
    made, _ = _change(
        ctx,
        lambda d, now: add_user(
            d,
            now,
            id=id,
            name=name,
            kind="service" if service else "person",
            password=kept,
            issuer=issuer,
            subject=subject,
            groups=groups or [],
            role=role,
            definitions=definitions or [],
        ),
    )
    session_of(ctx).show({"user": shown(made), "role": role}, f"added the user {name}" + (f", {role}" if role else ""))


@users.command("list", epilog=examples("access users list", "access users list --json"))
def list_users(ctx: typer.Context) -> None:
    """Lists the users with their roles."""
    directory = _directory(ctx)
    found = sorted(directory.users(), key=lambda one: one.name.casefold())
    rows = [
        (
            one.name,
            one.kind,
            "disabled" if one.disabled else "password" if one.password else "provider" if one.subject else "keys only",
            ", ".join(one.groups),
            ", ".join(_words(grant.role, grant.definitions) for grant in directory.grants() if grant.user == one.id),
        )
        for one in found
    ]
    text = output.table(("name", "kind", "log-in", "groups", "roles"), rows, "there are no users")
    session_of(ctx).show({"users": [shown(one) for one in found]}, text)


def _words(role: str, definitions: tuple[str, ...]) -> str:
    return role + (f" of {' '.join(definitions)}" if definitions else "")


@users.command("password")
def password(ctx: typer.Context, name: Name, password_file: PasswordFile = None) -> None:
    """Sets a user's password, and ends their sessions."""
    _directory(ctx).require_user(name)
    kept = passwords.hashed(_password(password_file))
    _change(ctx, lambda d, now: change_user(d, now, name=name, password=kept))
    session_of(ctx).show({"user": name}, f"changed the password of {name}; their sessions are ended")


@users.command("disable")
def disable(ctx: typer.Context, name: Name) -> None:
    """Disables a user: their sessions and keys become invalid. The name cannot be reused."""
    _change(ctx, lambda d, now: change_user(d, now, name=name, disabled=True))
    session_of(ctx).show({"user": name, "disabled": True}, f"disabled {name}")


@users.command("enable")
def enable(ctx: typer.Context, name: Name) -> None:
    """Enables a user again. Their keys become valid again, their sessions do not."""
    _change(ctx, lambda d, now: change_user(d, now, name=name, disabled=False))
    session_of(ctx).show({"user": name, "disabled": False}, f"enabled {name}")


@users.command("groups")
def groups(
    ctx: typer.Context, name: Name, named: Annotated[list[str] | None, typer.Argument(metavar="[GROUP]...")] = None
) -> None:
    """Sets the groups of a user; without --group, none."""
    _change(ctx, lambda d, now: change_user(d, now, name=name, groups=named or []))
    session_of(ctx).show({"user": name, "groups": named or []}, f"{name} is in {', '.join(named or ['no group'])}")


@grants.command("add", epilog=examples("access grants add operator --group on-call --definition 'order-*'"))
def grant(
    ctx: typer.Context,
    role: Annotated[Role, typer.Argument(help="the role")],
    user: Annotated[str | None, typer.Option(help="name of the user")] = None,
    group: Annotated[str | None, typer.Option(help="name of the group")] = None,
    definitions: Definitions = None,
) -> None:
    """Gives a role to a user or a group."""
    id = secrets.token_hex(8)
    made, _ = _change(
        ctx, lambda d, now: add_grant(d, now, id=id, role=role, user=user, group=group, definitions=definitions or [])
    )
    what = _words(role, made.definitions)
    session_of(ctx).show({"grant": shown(made)}, f"granted {what} to {user or f'the group {group}'}: {id}")


@grants.command("list")
def list_grants(ctx: typer.Context) -> None:
    """Lists the grants, oldest first."""
    directory = _directory(ctx)
    found = sorted(directory.grants(), key=lambda one: one.created_ms)
    rows = [
        (one.id, one.role, _holder(directory, one.user, one.group), " ".join(one.definitions) or "all") for one in found
    ]
    text = output.table(("id", "role", "for", "definitions"), rows, "there are no grants")
    session_of(ctx).show({"grants": [shown(one) for one in found]}, text)


def _holder(directory: Directory, user: str | None, group: str | None) -> str:
    if user is None:
        return f"group {group}"
    found = directory.user(user)
    return found.name if found is not None else user


@grants.command("remove")
def ungrant(ctx: typer.Context, id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Removes a grant."""
    _change(ctx, lambda d, now: remove_grant(d, now, id=id))
    session_of(ctx).show({"grant": id, "removed": True}, f"removed the grant {id}")


@grants.command("roles")
def roles(ctx: typer.Context) -> None:
    """Shows what each role may do."""
    roles_rights = {role.value: sorted(right.value for right in rights) for role, rights in RIGHTS.items()}
    text = "\n".join(f"{role:<13} {' '.join(rights)}" for role, rights in roles_rights.items())
    session_of(ctx).show({"roles": roles_rights}, text)


@keys.command("add", epilog=examples("access keys add shop --for checkout --days 90"))
def make_key(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="the user of the key")],
    purpose: Annotated[str, typer.Option("--for", help="purpose of the key")] = "",
    days: Days = 365,
) -> None:
    """Creates an API key, and shows it once: only its hash is stored."""
    id, secret = secrets.token_hex(6), key_texts.new_secret()
    made, directory = _change(
        ctx,
        lambda d, now: add_key(
            d,
            now,
            id=id,
            digest=key_texts.digest(secret),
            user=user,
            name=purpose,
            expires_ms=now + days * _DAY_MS if days else None,
        ),
    )
    _show_key(ctx, directory, made, key_texts.token(id, secret))


def _show_key(ctx: typer.Context, directory: Directory, made: ApiKey, text: str) -> None:
    output.note("the key is shown once and cannot be shown again")
    session_of(ctx).show((shown(made) or {}) | {"key": text, "user": _holder(directory, made.user, None)}, text)


@keys.command("list")
def list_keys(
    ctx: typer.Context, user: Annotated[str | None, typer.Option(help="only those of this user")] = None
) -> None:
    """Lists the API keys, oldest first: visible part, expiry, and last use."""
    directory = _directory(ctx)
    only = directory.require_user(user).id if user is not None else None
    found = sorted((one for one in directory.api_keys() if only in (None, one.user)), key=lambda one: one.created_ms)
    rows = [
        (
            f"{key_texts.PREFIX}{one.id}",
            _holder(directory, one.user, None),
            one.name,
            "revoked" if one.revoked_ms is not None else _time(one.expires_ms, "for ever"),
            _time(directory.used_ms(one.id), "never"),
        )
        for one in found
    ]
    text = output.table(("key", "user", "for", "good until", "last used"), rows, "there are no keys")
    keys = [(shown(one) or {}) | {"used_ms": directory.used_ms(one.id)} for one in found]
    session_of(ctx).show({"keys": keys}, text)


def _time(ms: int | None, never: str) -> str:
    return never if ms is None else output.local_time(ms)[:16]


Key = Annotated[str, typer.Argument(metavar="KEY", help="its visible part, sfk_...")]


@keys.command("revoke")
def revoke(ctx: typer.Context, key: Key) -> None:
    """Revokes an API key at once, and the sessions that it started."""
    made, _ = _change(ctx, lambda d, now: revoke_key(d, now, id=key))
    session_of(ctx).show({"key": shown(made)}, f"revoked {key_texts.PREFIX}{made.id}")


@keys.command("rotate")
def rotate(
    ctx: typer.Context,
    key: Key,
    overlap: Annotated[int, typer.Option(min=0, max=720, help="hours that the old key stays valid")] = 24,
    days: Days = 365,
) -> None:
    """Replaces an API key by a new one, and shows it once; the old one stays valid for a while."""
    old = require_key(_directory(ctx), key)
    id, secret = secrets.token_hex(6), key_texts.new_secret()
    made, directory = _change(
        ctx,
        lambda d, now: rotate_key(
            d,
            now,
            id=old.id,
            new_id=id,
            digest=key_texts.digest(secret),
            overlap_ms=overlap * 3_600_000,
            expires_ms=now + days * _DAY_MS if days else None,
        ),
    )
    _show_key(ctx, directory, made, key_texts.token(id, secret))


@sessions.command("list")
def list_sessions(
    ctx: typer.Context, user: Annotated[str | None, typer.Option(help="only those of this user")] = None
) -> None:
    """Lists the open sessions, newest first."""
    directory = _directory(ctx)
    only = directory.require_user(user).id if user is not None else None
    open_ones = (one for one in directory.families() if one.revoked_ms is None and only in (None, one.user))
    found = sorted(open_ones, key=lambda one: -one.created_ms)
    rows = [
        (one.id, _holder(directory, one.user, None), _time(one.created_ms, ""), _time(one.rotated_ms, ""))
        for one in found
    ]
    text = output.table(("session", "user", "since", "last refreshed"), rows, "there are no sessions")
    session_of(ctx).show({"sessions": [shown(one) for one in found]}, text)


@sessions.command("end")
def end(ctx: typer.Context, id: Annotated[str, typer.Argument(metavar="SESSION")]) -> None:
    """Ends a session at once."""
    _change(ctx, lambda d, now: end_session(d, now, id=id, why="admin"))
    session_of(ctx).show({"session": id, "ended": True}, f"ended the session {id}")
