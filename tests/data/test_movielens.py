"""Every table of the MovieLens formats, number by number.

Catches: a column read as another, a year that is a part of the title, a genre by its line.
"""

import pandas as pd
import pytest

from pmf.data.features import item_features
from pmf.data.sources import movielens
from pmf.data.sources.base import load_data as load

RATINGS = [(7, 301, 5.0, 1_100), (8, 301, 3.0, 1_200), (7, 302, 1.0, 1_300), (9, 303, 4.0, 1_400)]
TAGS = [(8, 301, "dark", 2_100), (9, 302, "slow burn", 2_200)]
TITLES = {  # the year in a title is not the film's, nor is a number without parentheses
    301: ("2001: A Space Odyssey (1968)", 1968),
    302: ("Blade Runner (1982) (Director's Cut) (1992)", 1992),
    303: ("(500) Days of Summer (2009) ", 2009),
    304: ("Movie 1984", None),
    305: ("Death Race (1975) again", None),
}
GENRES = {301: "Sci-Fi", 302: "Action|Sci-Fi", 303: "Comedy", 304: "Action|Comedy", 305: "Comedy"}


def lines(rows, separator: str, header: str = "") -> bytes:
    text = "".join(separator.join(map(str, row)) + "\n" for row in rows)
    return (header and f"{header}\n").encode() + text.encode()


def csv_files() -> dict[str, bytes]:
    movies = [(item, f'"{title}"', GENRES[item]) for item, (title, _) in TITLES.items()]
    return {
        "ratings.csv": lines(RATINGS, ",", "userId,movieId,rating,timestamp"),
        "movies.csv": lines(movies, ",", "movieId,title,genres"),
        "tags.csv": lines(TAGS, ",", "userId,movieId,tag,timestamp"),
        "links.csv": lines([(301, 62622, 62), (302, 83658, 78)], ",", "movieId,imdbId,tmdbId"),
    }


def dat_files() -> dict[str, bytes]:
    movies = [(item, title, GENRES[item]) for item, (title, _) in TITLES.items()]
    return {
        "ratings.dat": lines(RATINGS, "::"),
        "movies.dat": lines(movies, "::"),
        "tags.dat": lines(TAGS, "::"),
    }


def u_files() -> dict[str, bytes]:
    """Genres are listed in another order than that of their codes."""
    codes = {"Sci-Fi": 2, "Action": 0, "Comedy": 1}
    by_code = sorted(codes, key=codes.__getitem__)
    items = [
        (
            item,
            title,
            "01-Jan-1900",
            "",
            "http://x",
            *(int(name in GENRES[item].split("|")) for name in by_code),
        )
        for item, (title, _) in TITLES.items()
    ]
    return {
        "u.data": lines(RATINGS, "\t"),
        "u.genre": lines(codes.items(), "|"),
        "u.item": lines(items, "|"),
    }


FORMATS = {"ml-100k": u_files, "ml-10m": dat_files, "ml-25m": csv_files}


@pytest.fixture(params=FORMATS)
def dataset(request, tmp_path, monkeypatch):
    monkeypatch.setenv("PMF_DATA_DIR", str(tmp_path))
    folder = tmp_path / movielens.ARCHIVES[request.param].folder
    folder.mkdir()
    for name, content in FORMATS[request.param]().items():
        (folder / name).write_bytes(content)
    return load(request.param)


def rows(table: pd.DataFrame) -> list[tuple]:
    return list(table.itertuples(index=False, name=None))


def test_every_number_is_in_its_column(dataset):
    assert list(dataset.ratings) == ["user_id", "item_id", "rating", "timestamp"]
    assert rows(dataset.ratings) == RATINGS
    items = dataset.items.set_index("item_id")
    assert items["title"].str.strip().to_dict() == {
        item: title.strip() for item, (title, _) in TITLES.items()
    }
    assert {item: set(x.split("|")) for item, x in items["genres"].items()} == {
        item: set(x.split("|")) for item, x in GENRES.items()
    }
    years = {item: None if pd.isna(x) else int(x) for item, x in items["year"].items()}
    assert years == {item: year for item, (_, year) in TITLES.items()}
    if dataset.name != "ml-100k":
        assert list(dataset.tags) == ["user_id", "item_id", "tag", "timestamp"]
        assert rows(dataset.tags) == TAGS
    if dataset.name == "ml-25m":
        assert list(dataset.links) == ["item_id", "imdb_id", "tmdb_id"]
        assert rows(dataset.links) == [(301, 62622, 62), (302, 83658, 78)]


def test_features_are_of_those_items(dataset):
    features = item_features(dataset.items, tag_components=0)
    table = pd.DataFrame(features.values.toarray(), features.ids.values, features.names) > 0
    for item, genres in GENRES.items():
        has = {name.removeprefix("genre: ") for name in table.columns[table.loc[item]]}
        assert {name for name in has if ":" not in name} == set(genres.split("|"))
    decades = {301: "1960s", 302: "1990s", 303: "2000s"}
    for item, decade in decades.items():
        assert table.loc[item, f"decade: {decade}"]
        assert table.loc[item].filter(like="decade").sum() == 1


def test_tags_of_pairs_and_of_times_that_are_left_out():
    tags = pd.DataFrame(
        {
            "user_id": [1, 2, 1, 2, 5, 6],
            "item_id": [2, 1, 1, 2, 1, 2],
            "tag": ["a", "a", "b", "b", "c", "c"],
            "timestamp": [10, 20, 30, 40, 50, 60],
        }
    )
    items = pd.DataFrame({"item_id": [1, 2, 3], "genres": "X"})

    def tags_of(**rules) -> list[str]:
        names = item_features(items, tags, **rules).names
        return [name.removeprefix("tag: ") for name in names if name.startswith("tag")]

    def pair(user, item):
        return pd.DataFrame({"user_id": [user], "item_id": [item]})

    assert tags_of() == ["a", "b", "c"]  # each on two items
    assert tags_of(tags_before=60) == ["a", "b"] and tags_of(tags_before=61) == ["a", "b", "c"]
    assert tags_of(tags_before=21) == ["a"] and tags_of(tags_before=20) == []
    assert tags_of(without=pair(1, 2)) == ["b", "c"]  # its user and item, in this order
    assert tags_of(without=pair(2, 1)) == ["b", "c"]
    assert tags_of(without=pair(1, 1)) == ["a", "c"]
    assert tags_of(without=pair(6, 2)) == ["a", "b"]
    both = pd.concat([pair(1, 2), pair(6, 2)])
    assert tags_of(without=both) == ["b"]  # not that of user 1 on item 1
    assert tags_of(without=pair(6, 1)) == ["a", "b", "c"] == tags_of(without=pair(1, 3))
