import torch

from asbench.nets.seeds import address_generator, address_seed, private_rng, seed_rng


def test_seeds_tell_addresses_apart():
    seeds = {address_seed("step", seed, step) for seed in range(20) for step in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert address_seed("a", 1) == address_seed("a", 1)


def test_a_generator_is_a_function_of_its_address():
    draws = [torch.rand(4, generator=address_generator("augment", 0, 7)) for _ in range(2)]
    assert torch.equal(*draws)


def test_private_rng_gives_the_global_state_back_even_on_error():
    before = torch.get_rng_state()
    try:
        with private_rng():
            seed_rng(5)
            first = torch.rand(3)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
    with private_rng():
        seed_rng(5)
        assert torch.equal(torch.rand(3), first)
