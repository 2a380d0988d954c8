"""The pairs of the benchmark are the published ones, and their truth is one."""

import pytest
import torch
from benchmarks.funnels import COUNTS, DIMS, make_pair

from wgan.wasserstein.exact import wasserstein1


def test_the_parameters_are_the_published_ones_bit_for_bit():
    small, large = make_pair(2, 4), make_pair(128, 256)
    assert small.centres[0].tolist() == pytest.approx([0.4718095, -2.3439035], abs=5e-8)
    assert small.offsets.tolist() == pytest.approx([-0.0388906, -0.0912884, -0.0691218, -0.1027469], abs=5e-8)
    assert large.centres[0, :3].tolist() == pytest.approx([-0.7871702, -1.7601361, -0.0816512], abs=5e-8)
    assert large.offsets[:3].tolist() == pytest.approx([0.0154532, 0.1733345, 0.2089353], abs=5e-8)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("count", COUNTS)
def test_all_transport_runs_along_rays_of_u(dim, count):
    """So that u, of slope one, is an optimal potential: |u(x) - u(y)| = |x - y|."""
    pair = make_pair(dim, count)
    x = pair.draw_p(512, torch.Generator().manual_seed(1))
    y = pair.push(x)
    assert ((pair.value(x) - pair.value(y)).abs() - (x - y).norm(dim=1)).abs().max() < 1e-12
    assert y.abs().max() <= 2.5
    assert (pair.slope(y).norm(dim=1) - 1).abs().max() < 1e-9


@pytest.mark.slow
def test_the_truth_is_what_exact_transport_finds_where_samples_suffice():
    """In two dimensions; and the published value."""
    pair = make_pair(2, 4)
    rng = torch.Generator().manual_seed(2)
    x = pair.draw_p(20_000, rng)
    assert float((x - pair.push(x)).norm(dim=1).mean()) == pytest.approx(0.821, abs=0.02)
    found = wasserstein1(pair.draw_p(2000, rng).numpy(), pair.draw_q(2000, rng).numpy()).value
    assert found == pytest.approx(0.821, rel=0.06)
