"""Which column of a table is the user, the item, the rating, the time: by name, or as given."""

import difflib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pmf.errors import InputError

REQUIRED = ("user_id", "item_id", "rating")
ROLES = {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"}

# The usual names. A name counts as written here; where a table has none of these, in any case and
# style (`USER_ID`, `User ID`); where it has none of these either, as known data sets have it.
ALIASES = {
    "user_id": ("user_id", "userId", "userid", "user", "uid", "UserID"),
    "item_id": ("item_id", "itemId", "itemid", "item", "iid", "movieId", "movie_id", "MovieID"),
    "rating": ("rating", "ratings", "score", "value", "Rating"),
    "timestamp": ("timestamp", "time", "ts", "Timestamp"),
}
OF_DATA_SETS = {
    "user_id": ("customer_id", "reviewer_id", "member_id", "person_id", "username"),
    "item_id": (
        "book_id",
        "isbn",
        "product_id",
        "asin",
        "parent_asin",
        "business_id",
        "anime_id",
        "artist_id",
        "song_id",
        "track_id",
        "joke_id",
        "game_id",
        "recipe_id",
    ),
    "rating": ("book_rating", "user_rating", "review_score", "overall", "stars"),
    "timestamp": ("unix_review_time", "rated_at", "rating_date"),
}
SHOWN = 60  # names in a message at the most, and letters of each

Columns = Mapping[str, str]  # a role (`ROLES`) to the name of its column
UNTOLD: Columns = MappingProxyType({})


def canonical_columns(
    names: Sequence[str], required: Sequence[str], source: str, named: Columns = UNTOLD
) -> dict[str, str]:
    """Which of a table's columns is which: `{name in the table: canonical name}`.

    `named` has columns by their roles; the others are found by their names. Raises `InputError`
    naming `source` where a required column is missing, a name is ambiguous, or one that was told
    is not there.
    """
    roles: dict[str, str] = {}
    for role, canonical in ROLES.items():
        if role in named:
            hits = [_named_column(names, role, named[role], source)]
        else:
            hits = [name for name in _hits(names, canonical) if name not in roles]
        if len(hits) > 1:
            raise InputError(
                f"{source}: columns {hits} all mean {canonical}; keep one and drop the others, or "
                f"say which, as {role}={hits[0]}"
            )
        if hits and hits[0] in roles:
            raise InputError(f"{source}: column {hits[0]!r} cannot be two things; say another one")
        if hits:
            roles[hits[0]] = canonical
        elif canonical in required:
            raise InputError(
                f"{source}: no column {canonical}; the table has {_shown(names)}, and {canonical} "
                f"may be called {', '.join(ALIASES[canonical])}; for another name say columns: "
                f"{role}=NAME"
            )
    return roles


def _hits(names: Sequence[str], canonical: str) -> list[str]:
    """The columns that may be meant, by the first rule that finds one."""
    usual, known = ALIASES[canonical], OF_DATA_SETS[canonical]
    styles = {plain(name) for name in usual}, {plain(name) for name in known}
    return (
        [name for name in names if name in usual]
        or [name for name in names if plain(name) in styles[0]]
        or [name for name in names if plain(name) in styles[1]]
    )


def plain(name: str) -> str:
    """A name without case and style: `User-ID` and `user_id` are `userid`."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _named_column(names: Sequence[str], role: str, name: str, source: str) -> str:
    if name in names:
        return name
    alike = [other for other in names if plain(name) and plain(other) == plain(name)]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(
        f"{source}: no column {name!r} for {role}; the table has {_shown(names)}{hint}"
    )


def _shown(names: Sequence[str]) -> list[str]:
    return [str(name)[:SHOWN] for name in names[:SHOWN]]


def check_told(named: Columns) -> dict[str, str]:
    """Columns as they were told, by the roles `user, item, rating, timestamp`.

    Raises `InputError` for an unknown role, a column that is no name, and one for two roles.
    """
    by_role: dict[str, str] = {}
    for key, name in named.items():
        role = next((role for role, one in ROLES.items() if key in (role, one)), None)
        if role is None:
            raise InputError(f"columns: {key!r} is none of {', '.join(ROLES)}")
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name):
            raise InputError(f"columns: {role}={name!r}: the name of a column is needed")
        by_role[role] = str(name)
    if len(set(by_role.values())) < len(by_role):
        raise InputError(f"columns: {by_role}: each column can be one thing only")
    return by_role
