"""The command line: commands and their options.

main           `harness` and the subcommands that keep the records
run_commands   `harness run-study` and `new-study`
train_commands `harness train` and `test`
read_commands  `harness report`, `compare` and `replay`
predict_commands `harness predict`
browse_commands `harness studies` and `ui`
predict_images `harness predict` on images
predict_rows   `harness predict` on a table
options        options that several commands share, the display, errors as one line
help_format    the format of `--help`
usage_errors   errors of the command line as one line
completion     the names that a shell completes
studies_table  `harness studies`: the studies on record
ready_studies  `harness studies`: the studies that can be run
summary_screen the summary at the end of `harness run-study`
mlflow_ui      `harness ui`
open_report    `harness report --open`: the report in a browser, updated while the study runs
"""
