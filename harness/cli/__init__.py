"""The command line: commands, their options and the progress displays.

main           `harness` and the subcommands that write
read_commands  the subcommands that read recorded studies
options        options that several commands share, the display, errors as one line
studies_table  `harness studies`
summary_screen the summary at the end of `harness run-study`
mlflow_ui      `harness ui`
progress/      what a sweep shows while it runs
"""
