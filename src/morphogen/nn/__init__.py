"""The building blocks of every network: mixing modules, elastic layers, operations by published name."""
