"""What to train next: one study's Optuna record, under its lock.

journal  the file, its lock, its repair
opening  make or continue a study; what may not change
study    ask, report, tell; retries
samplers which sampler and pruner a study file means
fixed    settings that are given, not searched for
draws    settings drawn at random, to see what a study will ask for
"""
