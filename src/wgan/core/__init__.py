"""The ground that everything stands on: files, devices, randomness."""
