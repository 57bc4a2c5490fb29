"""`harness doctor`: check that everything recorded of a study is consistent, and repair it.

snapshot       everything recorded of one study, read without writing a byte
journal_reader Optuna's part of it
unsent         what an outbox file still has to send
registry       the eight invariants and the functions that check them
check_*        one file for each kind of check: a snapshot in, findings out
findings       a violated invariant, and the fix for it
repair         applies fixes under the study's lock
report         the findings of each study, as text and as JSON
"""
