"""What must be there before anybody can log in.

Everything here can be repeated, and does nothing the second time.
"""

import secrets
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import Connection

from tweezer.database.migrations import alone, upgrade_database
from tweezer.database.opening import create_engine_of
from tweezer.database.timestamps import Clock, now_micros
from tweezer.identity import store
from tweezer.identity.files import PRIVATE, create_file
from tweezer.identity.keys import SigningKey
from tweezer.identity.models import Role
from tweezer.identity.passwords import hash_password
from tweezer.identity.settings import IdentitySettings
from tweezer.identity.signing_key import ready_signing_key

MIGRATIONS: Final = Path(__file__).parent / "migrations"

#: The user and the project of the first start.
FIRST_USERNAME: Final = "user@localhost"
FIRST_PROJECT: Final = "default"


@dataclass(frozen=True, slots=True)
class FirstLogin:
    """How the user of the first start logs in."""

    username: str
    password: str
    user_id: str
    project_id: str


def prepare(settings: IdentitySettings) -> SigningKey:
    """Creates the tables and the keys that are missing."""
    upgrade_database(settings.identity_database, MIGRATIONS)
    return ready_signing_key(settings)


def bootstrap(settings: IdentitySettings, clock: Clock = now_micros) -> FirstLogin | None:
    """Prepares everything, and at the first start makes a user with a random password.

    Returns how that user logs in, or None when there are users but the file that says it is gone.
    """
    prepare(settings)
    engine = create_engine_of(settings.identity_database)
    try:
        with alone(engine) as connection:
            if not store.has_users(connection):
                # The file comes first: a crash between the two then costs nothing, while a user
                # whose password nobody knows would stay for ever.
                _add_first_user(connection, ensure_first_login(settings.connection_file), clock())
    finally:
        engine.dispose()
    return read_first_login(settings.connection_file)


def read_first_login(path: Path) -> FirstLogin | None:
    """Returns what the file says, or None when it is not there."""
    try:
        return FirstLogin(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None


def ensure_first_login(path: Path) -> FirstLogin:
    """Returns what the file says; where it is not there, it is made with a random password."""
    login = FirstLogin(
        username=FIRST_USERNAME,
        password=secrets.token_urlsafe(18),
        user_id=str(uuid.uuid4()),
        project_id=str(uuid.uuid4()),
    )
    if create_file(path, orjson.dumps(asdict(login), option=orjson.OPT_INDENT_2), PRIVATE):
        return login
    return FirstLogin(**orjson.loads(path.read_bytes()))


def _add_first_user(connection: Connection, login: FirstLogin, now: int) -> None:
    store.add_user(connection, login.username, hash_password(login.password), now, login.user_id)
    store.add_project(connection, FIRST_PROJECT, now, project_id=login.project_id)
    store.add_member(connection, login.project_id, login.user_id, now, Role.OPERATOR)
