"""How a worker computes: one protocol, two engines, the torch one the reference and the compiled one fast."""
