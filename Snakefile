# What does pruning change inside a network? Read the configuration, check it, include the stages.
import sys

from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/rounds.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        [products(name) for name in CONFIG["experiments"]],
        ["results/overview.html"] if len(CONFIG["experiments"]) > 1 else [],


onstart:
    # Snakemake itself would stop in the middle of its first job, with a traceback.
    try:
        for folder in ("results/logs", "results/benchmarks"):
            files.check_writable(folder)
    except InputError as error:
        sys.exit(f"prunescope: {error}")


onerror:
    # Name the logs of what failed at the very end, where they are not scrolled away.
    failed = failed_logs(log)
    if failed:
        print("prunescope: these jobs failed; their logs say why:", *failed, sep="\n  ", file=sys.stderr)
