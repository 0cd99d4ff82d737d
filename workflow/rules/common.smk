# Helpers of the rules: a job's experiment, files, resources and code.
from prunescope.findings.labels import shown
from prunescope.report import names

EXPERIMENT = r"[A-Za-z0-9][A-Za-z0-9_.=-]*"


wildcard_constraints:
    experiment=EXPERIMENT,
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    seed=r"[0-9]+",
    round=r"[0-9]+",


# Some experiments train their networks here; others use networks that were trained elsewhere.
NAMES = "|".join(map(re.escape, sorted(IMPORTED))) or "(?!)"
FROM_ELSEWHERE = f"(?:{NAMES})(?=/)"
TRAINED_HERE = rf"(?!(?:{NAMES})/){EXPERIMENT}"


def of_experiment(select):
    """A parameter or input that depends on the job's experiment (and its other wildcards)."""
    return lambda wildcards: select(experiment(wildcards.experiment), wildcards)


def bound(amount):
    """A bound from `plan.bounds`, or a number. It grows with Snakemake's attempt, so that --retries gives more."""

    def of_job(wildcards, attempt):
        if callable(amount):
            return attempt * amount(experiment(wildcards.experiment), facts(wildcards.experiment))
        return attempt * amount

    return of_job


@cache
def digest(script, named=()):
    return digests.code(REPOSITORY / "workflow/scripts" / f"{script}.py", named)


@cache
def code_of(script, name):
    """Digest of the code that a script can run for an experiment, or without one."""
    return digest(script, stages.kinds_of(script, experiment(name)) if name else ())


def code(script):
    """Digest of the code that a script can run for the job's experiment; no other code causes a rerun."""
    return lambda wildcards: code_of(script, wildcards.get("experiment"))


def user_code(script):
    """The user's own files that a job can run; the job compares them before and after."""
    return of_experiment(lambda this, _: digests.user_files(stages.kinds_of(script, this)))


def controlled(name):
    """The experiment that a control extends."""
    return lineage(name)[-2][0]


def trains_again(name):
    """Whether an experiment is a control whose rounds are those of another one, trained again."""
    return stages.control_facts(experiment(name)).get("again", False)


def siblings(wildcards):
    """The activations of a round that was trained again, and those of the same round of the experiment."""
    name = wildcards.experiment
    if not trains_again(name):
        refuse(f"results/{name}: siblings.parquet needs `control: siblings`; choose another file")
    return [
        network_file(each, wildcards.seed, wildcards.round, "activations.h5")
        for each in (controlled(name), name)
    ]


def starting_file(key):
    """A file that a later round starts from, by the names in `stages.starts_from`; none if it is not needed."""

    def of_job(wildcards):
        name, seed, round = wildcards.experiment, int(wildcards.seed), int(wildcards.round)
        if key not in stages.starts_from(experiment(name)):
            return []
        if key == "masks":
            return network_file(controlled(name), seed, round, "checkpoint.pt")
        start = controlled(name) if trains_again(name) else name
        if key == "rewind":
            return network_file(start, seed, 0, "rewind.pt")
        return network_file(start, seed, stages.origin_of(experiment(name), round), "checkpoint.pt")

    return of_job


def verdict_params(name):
    """What the verdicts of an experiment depend on."""
    return stages.findings_params(experiment(name), facts(name)["dataset"]["classes"])


def dataset_of(wildcards):
    return f"results/data/{experiment(wildcards.experiment)['dataset']}.h5"


def source_of(wildcards):
    return sizes.source_of(wildcards.dataset, CONFIG["data"], "target results/data")


def stamp_of(wildcards):
    """A value that changes with a folder, archive or file of images: path, sizes, modification times."""
    return sizes.stamp(source_of(wildcards), CONFIG["data"]["root"])


def of_import(key):
    """A parameter of `import_model`."""
    return of_experiment(lambda this, job: stages.import_params(this, int(job.seed), int(job.round))[key])


def recorded(wildcards):
    """The parameter `activations` of a recording."""
    this = experiment(wildcards.experiment)
    params = stages.activation_params(this)
    if "models" not in this:
        return params
    model = elsewhere.find(this, int(wildcards.seed), int(wildcards.round))
    first = model is this["models"][0]
    layers = [] if first else list(facts(wildcards.experiment)["network"]["shapes"])
    return params | {"layers": elsewhere.recorded(this, model, layers)}


def of_all_networks(file):
    """One file of every seed and round of the job's experiment, seed by seed."""
    return lambda wildcards: files_of_all_networks(wildcards.experiment, file)


def seeds_with(this, round):
    """The seeds that have a round: lineages of models can differ in length."""
    return [seed for seed in this["seeds"] if stages.rounds_of(this, seed) >= int(round)]


def rows(wildcards):
    """The files that the matrix is assembled from."""
    name, this = wildcards.experiment, experiment(wildcards.experiment)
    files = files_of_all_networks(name, "similarity.parquet")
    across_seeds = this["similarity"]["across_seeds"]
    if across_seeds and len(this["seeds"]) > 1:
        pruned = [] if across_seeds == "dense" else [name] * this["rounds"]
        folders = [sharing.owner_across_seeds(lineage(name)), *pruned]
        files += [
            f"results/{folder}/across-seeds/round{round}/similarity.parquet"
            for round, folder in enumerate(folders)
            if len(seeds_with(this, round)) > 1
        ]
    return files


def untrained(name):
    """The comparison of untrained networks, if the experiment asks for it."""
    if not experiment(name)["similarity"]["untrained"]:
        return []
    return [f"results/{sharing.owner_of_untrained(lineage(name))}/untrained/similarity.parquet"]


def controls_of(name, again=False):
    """The selected controls of an experiment, name by kind: those whose rounds follow each other, or siblings."""
    controls = {}
    for other in sorted(CONFIG["experiments"]):
        control = experiment(other)["control"]
        if control != "none" and controlled(other) == name and trains_again(other) == again:
            controls.setdefault(control, other)
    return controls


def of_controls(file):
    """A file of each selected control of the job's experiment, in the order of `controls_of`."""
    return lambda wildcards: [
        f"results/{other}/{file}" for other in controls_of(wildcards.experiment).values()
    ]


def of_levels(wildcards):
    """The tables of the levels besides the matrix: of an experiment, its controls and its siblings."""
    name = wildcards.experiment
    siblings = list(controls_of(name, again=True).values())
    tables = []
    for other in [name, *controls_of(name).values(), *siblings]:
        tables += [(other, "weights"), (other, "predictions")]
        tables += [(other, "barriers")] if lines_of(other) else []
        tables += [(other, "siblings"), (other, "accuracy")] if other in siblings else []
    return [f"results/{other}/{table}.parquet" for other, table in tables]


def compared(name):
    """The networks that the levels compare: an experiment's, and the same rounds of the one that it controls."""
    own = [(name, seed, round) for seed, round in stages.networks(experiment(name))]
    if experiment(name)["control"] == "none":
        return own
    above = controlled(name)
    theirs = set(stages.networks(experiment(above)))
    return own + [
        (above, seed, round)
        for _, seed, round in own
        if (seed, round) in theirs and not sharing.is_of_controlled(lineage(name), seed, round)
    ]


def identities(name, networks):
    """The parameter `networks` of rules that compare them: experiment (null for this one), seed, round."""
    return [[None if each == name else each, seed, round] for each, seed, round in networks]


def of_compared(file):
    """One file of each of the networks in `compared`."""
    return lambda wildcards: [network_file(*network, file) for network in compared(wildcards.experiment)]


def ends_of_lines(wildcards):
    """The networks to which lines lead from a network."""
    name, network = wildcards.experiment, (int(wildcards.seed), int(wildcards.round))
    if network not in lines_of(name):
        refuse_without_lines(f"results/{name}/seed{wildcards.seed}/round{wildcards.round}")
    return lines_of(name)[network]


def rows_of_lines(wildcards):
    """The files of all networks from which lines lead to others."""
    name = wildcards.experiment
    if not lines_of(name):
        refuse_without_lines(f"results/{name}")
    return [f"results/{name}/seed{seed}/round{round}/barriers.parquet" for seed, round in lines_of(name)]


def refuse_without_lines(folder):
    refuse(f"{folder}/barriers.parquet: no lines are asked for; add landscape, or more of landscape.pairs")


def result(file):
    return lambda wildcards: f"results/{wildcards.experiment}/{file}"


def side_by_side():
    """The selected experiments that the overview shows: those whose rounds follow from each other."""
    return [name for name in CONFIG["experiments"] if not trains_again(name)]


def results_of_all(file):
    return lambda _: [f"results/{name}/{file}" for name in side_by_side()]


def overview():
    """The page that compares several experiments."""
    return ["results/overview.html"] if len(side_by_side()) > 1 else []


def products(name):
    """Targets of one experiment."""
    levels = ["predictions.parquet", "weights.parquet", "channels.parquet"]
    levels += ["barriers.parquet"] if lines_of(name) else []
    if trains_again(name):
        files = ["siblings.parquet", "accuracy.parquet"]
        return [f"results/{name}/{file}" for file in (*files, *levels)]
    files = ["similarity.parquet", "accuracy.parquet", *levels, "report.html", "findings.json"]
    files += ["figures"] if experiment(name)["figures"]["formats"] else []
    if experiment(name)["similarity"]["spectrum"]:
        files.append("spectrum.parquet")
    return [f"results/{name}/{file}" for file in files] + untrained(name)


def labels_of(names):
    """Label and reference of each measure of these experiments: a changed label reruns only rules that show it."""
    return shown(measure for name in names for measure in experiment(name)["similarity"]["measures"])
