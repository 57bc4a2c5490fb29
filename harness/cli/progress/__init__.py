"""The displays of a sweep's progress; see `harness.sweep.progress.ProgressDisplay`.

live       a live table in a terminal
plain      one dated line for each trial, for other output
jsonlines  JSON lines, for programs
"""
