"""A trained network in, one self-contained TorchScript artifact out.

Knows `models` and the contract in `daemon.artifact`; nothing else of the daemon.
"""
