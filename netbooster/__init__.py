"""NetBooster: train tiny networks by expansion, progressive linearization and contraction."""

__version__ = "0.1.0"
