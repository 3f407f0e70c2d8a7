"""How learned synthesizers are fitted: the contract of their networks, the loop, the weights."""
