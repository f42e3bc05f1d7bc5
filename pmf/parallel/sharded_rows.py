"""One side's rows over a mesh of devices, as a layout: each device updates its own."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from pmf.inference.row_update import Layout, Update
from pmf.model.density import joined, split_row
from pmf.types import Gaussian


@partial(jax.tree_util.register_dataclass, data_fields=["local"], meta_fields=["mesh"])
@dataclass(frozen=True)
class Sharded:
    """One side's ratings, each row's on the device of `mesh` that owns the row.

    Every array of `local` is cut into equal parts along its first axis; a part is the layout of its
    device's own rows, counted from that device's first, while columns are counted over all devices.
    """

    local: Layout
    mesh: Mesh

    def update(self, inputs: Update) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """The local layout's update of each device's own rows.

        All that travels is one all-gather of the other side's rows.
        """
        mesh, prior, (n, rank) = self.mesh, inputs.prior, inputs.side.factor.shape
        (axis,) = mesh.axis_names

        def own_rows(
            epsilon: Float[Array, "own d"],
            mean: Float[Array, "*own d"],
            weight: Float[Array, " own"],
            w: Float[Array, "own d"],
            other: Float[Array, "theirs e"],
            precision: Float[Array, "d d"],
            tau: Float[Array, ""],
            mu: Float[Array, ""],
            local: Layout,
        ) -> tuple[Float[Array, "own d"], Float[Array, " own"]]:
            everyones = jax.lax.all_gather(other, axis, tiled=True)
            prior = Gaussian(mean, precision, weight)
            sides = split_row(w, rank), split_row(everyones, rank)
            return local.update(Update(epsilon, prior, tau, mu, *sides))

        rows, whole = PartitionSpec(axis), PartitionSpec()
        mean_spec = whole if prior.mean.ndim == 1 else rows
        specs = rows, mean_spec, rows, rows, rows, whole, whole, whole, rows
        # An update does not annotate which of its values differ between devices: no check of it.
        mapped = jax.shard_map(own_rows, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False)
        # The rows that are added are cut off again below.
        filled = partial(_filled, mesh)
        weight = filled(inputs.weight, 1.0)
        epsilon = jnp.broadcast_to(inputs.epsilon, (n, inputs.epsilon.shape[-1]))
        mean = prior.mean if prior.mean.ndim == 1 else filled(prior.mean)
        tables = (
            filled(epsilon),
            mean,
            weight,
            filled(joined(inputs.side)),
            filled(joined(inputs.other)),
        )
        w, error = mapped(*tables, prior.precision, inputs.tau, inputs.mu, self.local)
        return w[:n], error[:n]

    def weighted(self, weight: Float[Array, " n1"]) -> "Sharded":
        """The local layout's cells times the weights of their columns, which are gathered."""
        (axis,) = self.mesh.axis_names

        def own_cells(weight: Float[Array, " theirs"], local: Layout) -> Layout:
            return local.weighted(jax.lax.all_gather(weight, axis, tiled=True))

        rows = PartitionSpec(axis)
        mapped = jax.shard_map(
            own_cells, mesh=self.mesh, in_specs=rows, out_specs=rows, check_vma=False
        )
        return replace(self, local=mapped(_filled(self.mesh, weight, 1.0), self.local))

    def log_weight(self) -> Float[Array, ""] | None:
        return self.local.log_weight()


def _filled(mesh: Mesh, x: Array, value: float = 0.0) -> Array:
    """Rows filled up to equal shares of the devices."""
    fill = [(0, -len(x) % mesh.size)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, fill, constant_values=value)
