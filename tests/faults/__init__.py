"""Faults on purpose: many real clouds, one real Redis, a load, and then a look at what the machine says."""
