# Helpers of the rules: a job's settings, bounds, files and code.
EXPERIMENT = r"[A-Za-z0-9][A-Za-z0-9_.=-]*"


wildcard_constraints:
    experiment=EXPERIMENT,
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    seed=r"[0-9]+",
    round=r"[0-9]+",


# --- settings ---


def of_experiment(select):
    """A parameter or input that depends on the job's experiment (and its other wildcards)."""
    return lambda wildcards: select(experiment(wildcards.experiment), wildcards)


def threads_of(stage):
    """The processor threads that an experiment gives a stage."""
    return of_experiment(lambda this, _: this[stage]["threads"])


def bound(amount):
    """A bound from `plan.bounds`, or a number. It grows with Snakemake's attempt, so that --retries gives more."""

    def of_job(wildcards, attempt):
        if callable(amount):
            return attempt * amount(experiment(wildcards.experiment), facts(wildcards.experiment))
        return attempt * amount

    return of_job


def controls_of(name, again=False):
    """The selected controls of an experiment, name by kind: siblings (`again`), or all others."""
    return compared.controls(name, map(lineage, sorted(CONFIG["experiments"])), again)


# --- files ---


def dataset_of(wildcards):
    return f"results/data/{experiment(wildcards.experiment)['dataset']}.h5"


def of_network(file):
    """A file of the job's network."""
    return lambda wildcards: network_file(wildcards.experiment, wildcards.seed, wildcards.round, file)


def of_all_networks(file):
    """One file of every seed and round of the job's experiment, seed by seed."""
    return lambda wildcards: files_of_all_networks(wildcards.experiment, file)


def in_overview():
    """The selected experiments that the overview shows: those whose rounds follow from each other."""
    return [name for name in CONFIG["experiments"] if not stages.trains_again(experiment(name))]


def all_targets():
    """Targets of the selected experiments, and the page that compares several of them."""
    files = [file for name in CONFIG["experiments"] for file in targets.of_experiment(lineage(name))]
    overview = ["results/overview.html"] if len(in_overview()) > 1 else []
    return files + overview


# --- code ---


@cache
def digest(script, named=()):
    """Digest of the code that a script can run."""
    return digests.code(REPOSITORY / "workflow/scripts" / f"{script}.py", named)


@cache
def digest_for(script, name):
    """Digest of the code that a script can run for an experiment."""
    return digest(script, stages.kinds_of(script, experiment(name)))


def code(script):
    """Digest of the code that a script can run for the job's experiment; no other code causes a rerun."""
    return lambda wildcards: digest_for(script, wildcards.experiment)


def user_code(script):
    """The user's own files that a job can run; the job compares them before and after."""
    return of_experiment(lambda this, _: digests.user_files(stages.kinds_of(script, this)))
