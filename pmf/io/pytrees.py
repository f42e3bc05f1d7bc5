"""Pytrees as named host arrays, and back; digests that tell whether what is read was written."""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Named = dict[str, np.ndarray]


def take_apart(tree: Any) -> Named:
    """A pytree's leaves on the host, by their paths; of a typed key, its data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): _on_host(leaf) for path, leaf in leaves}


def put_together(like: Any, arrays: Named) -> Any:
    """The inverse: a pytree with the structure of `like`, its leaves of the type and in the place
    of `like`'s. Arrays of no size may be missing.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    pairs = [(leaf, arrays.get(jax.tree_util.keystr(path))) for path, leaf in leaves]
    return jax.tree.unflatten(tree, [_placed(leaf, array) for leaf, array in pairs])


def _on_host(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _placed(like: Any, array: np.ndarray | None) -> Any:
    if array is None:
        return like
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    if isinstance(like, jax.Array):
        return jax.device_put(array, like.sharding) if like.committed else jnp.asarray(array)
    return array


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def digest(*arrays: np.ndarray) -> str:
    """sha256 of the arrays' types, shapes and bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def digest_of(content: bytes) -> str:
    """sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def seal(content: dict[str, Any]) -> dict[str, str]:
    """A JSON text and its digest. Floats come back bit for bit, NaN and infinity too."""
    text = json.dumps(content, sort_keys=True)
    return {"sha256": digest_of(text.encode()), "content": text}


def unseal(box: dict[str, str]) -> dict[str, Any]:
    """What `seal` was given. Raises `ValueError` where the text is another."""
    if digest_of(box["content"].encode()) != box["sha256"]:
        raise ValueError("its text is not what was written")
    return json.loads(box["content"])
