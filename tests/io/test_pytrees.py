"""Pytrees taken apart and put together. Catches: a lost key, type or empty array; a digest that
misses a change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pmf.io.pytrees import digest, put_together, seal, take_apart, unseal

TREE = {
    "key": jax.random.key(3),
    "keys": jax.random.split(jax.random.key(4, impl="rbg"), 2),
    "host": np.arange(4, dtype=np.int8),
    "nested": (jnp.ones((2, 0), jnp.float32), [jnp.asarray(2.5, jnp.bfloat16), None]),
}


@pytest.mark.parametrize("with_empty", [True, False])
def test_a_tree_comes_back(with_empty):
    parts = {name: x for name, x in take_apart(TREE).items() if x.size or with_empty}
    back = put_together(TREE, parts)
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for a, b in zip(jax.tree.leaves(TREE), jax.tree.leaves(back), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and isinstance(b, type(a))
        assert digest(*take_apart(a).values()) == digest(*take_apart(b).values())
    assert jax.random.bits(back["keys"][1]) == jax.random.bits(TREE["keys"][1])


def test_a_digest_sees_bytes_type_shape_and_order():
    x = np.zeros(4, np.float32)
    other = x.copy()
    other.view(np.uint32)[0] = 1 << 31  # -0.0
    others = [other, x.astype(np.float64), x.view(np.int32), x.reshape(2, 2), x[:3]]
    assert len({digest(array) for array in (x, *others)}) == 6
    assert digest(x, other) != digest(other, x) and digest(x) == digest(x[::-1])


def test_a_sealed_text_comes_back_bit_for_bit_or_not_at_all():
    content = {"x": [0.1 + 0.2, float("inf"), 5e-324], "text": "\u00e9"}
    box = seal(content)
    assert unseal(box) == content
    with pytest.raises(ValueError, match="not what was written"):
        unseal({**box, "content": box["content"].replace("5e", "6e")})
