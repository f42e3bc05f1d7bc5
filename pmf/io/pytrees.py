"""Pytrees as named host arrays, and back; digests of arrays and bytes."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Named = dict[str, np.ndarray]
Part = bytes | memoryview


def take_apart(tree: Any) -> Named:
    """A pytree's leaves on the host, by their paths; of a typed key, its data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): _on_host(leaf) for path, leaf in leaves}


def put_together(like: Any, arrays: Named) -> Any:
    """The inverse: a pytree with the structure of `like`, its leaves of the type and in the place
    of `like`'s.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    placed = [_placed(leaf, arrays[jax.tree_util.keystr(path)]) for path, leaf in leaves]
    return jax.tree.unflatten(tree, placed)


def _on_host(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _placed(like: Any, array: np.ndarray) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    if isinstance(like, jax.Array):
        return jax.device_put(array, like.sharding) if like.committed else jnp.asarray(array)
    return array


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def digest(*arrays: np.ndarray) -> str:
    """sha256 of the arrays' types, shapes and bytes."""
    parts = [(f"{array.dtype} {array.shape}".encode(), bytes_of(array)) for array in arrays]
    return digest_of(*(part for pair in parts for part in pair))


def digest_of(*parts: Part) -> str:
    """sha256 of bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def bytes_of(array: np.ndarray) -> Part:
    """An array's bytes, without a copy where they lie in order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
