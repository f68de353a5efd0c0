"""`python -m epic22`: the command line; as an attempt at a job it ends with its worker."""

import os

from epic22.cli.main import run

if __name__ == "__main__":
    if "EPIC22_ATTEMPT" in os.environ:
        from epic22.adapters.job_process import end_with_worker

        end_with_worker()
    run()
