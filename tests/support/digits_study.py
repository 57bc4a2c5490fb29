"""A small study of scikit-learn's digits: six trials of about a second each."""

from __future__ import annotations

STUDY = """# harness run-study tiny
[study]
trials = 6
pruner = "none"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
[space]
depth = { low = 1, high = 2 }
width = { low = 8, high = 32 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
batch_norm = ["none", "before", "after"]
"""
