"""Where the studies' Optuna records are.

base        what a storage of studies does: lock, list, create, archive
journal     a folder of journal files
postgres    a PostgreSQL database
cached      an Optuna storage that is read only once
retrying    an Optuna storage that waits for its server
forwarding  what the last two share
"""
