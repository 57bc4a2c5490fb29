"""The displays of a sweep's progress; see `harness.sweep.progress.ProgressDisplay`.

live             a live display in a terminal
trial_table      the table of its trials
captured_stderr  what libraries write to stderr meanwhile
plain            dated lines, for a log file or a terminal without cursor control
jsonlines        JSON lines, for programs
wording          the words of the first two: results, counts, the remaining time
"""
