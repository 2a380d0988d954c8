"""Files, devices, randomness and array types, used by all other parts."""
