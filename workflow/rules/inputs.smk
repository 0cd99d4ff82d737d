# What the rules read: functions of inputs and parameters, in the order of the rule files.
# `snakemake --lint` requires that no rule file defines functions.
from prunescope.findings.labels import shown

# --- data set ---


def source_of(wildcards):
    return sizes.source_of(wildcards.dataset, CONFIG["data"], "target results/data")


def stamp_of(wildcards):
    """A value that changes with a folder, archive or file of images: path, sizes, modification times."""
    return sizes.stamp(source_of(wildcards), CONFIG["data"]["root"])


# --- rounds ---


@cache
def starting_files(name, seed, round):
    return sharing.starting_files(lineage(name), int(seed), int(round))


def starting_file(key):
    """A file that a later round starts from, by the names in `stages.starts_from`; none if it is not needed."""
    return lambda job: starting_files(job.experiment, job.seed, job.round).get(key, [])


# --- recordings ---


def recording(wildcards):
    """The parameter `activations` of a recording."""
    name, seed, round = wildcards.experiment, int(wildcards.seed), int(wildcards.round)
    layers = list(facts(name)["network"]["shapes"])
    return stages.recording_params(experiment(name), seed, round, layers)


# --- matrix ---


def rows(wildcards):
    """The files that the matrix is assembled from."""
    return sharing.rows(lineage(wildcards.experiment))


def siblings(wildcards):
    """The activations of a round of an experiment, and those of the same round that was trained again."""
    name = wildcards.experiment
    if not stages.trains_again(experiment(name)):
        refuse(f"results/{name}: siblings.parquet needs `control: siblings`; choose another file")
    return [
        network_file(each, wildcards.seed, wildcards.round, "activations.h5")
        for each, _ in lineage(name)[-2:]
    ]


# --- other levels ---


def of_compared(file):
    """One file of each network that the levels of the job's experiment compare."""
    return lambda wildcards: [
        network_file(*network, file) for network in compared.networks(lineage(wildcards.experiment))
    ]


def compared_networks(wildcards):
    """The parameter `networks`."""
    return compared.identities(wildcards.experiment, compared.networks(lineage(wildcards.experiment)))


def follow_each_other(wildcards):
    """The parameter `lineage`: whether each round was pruned from an earlier one."""
    return not stages.trains_again(experiment(wildcards.experiment))


# --- loss landscape ---


def lines_from(wildcards):
    """The network of a job, and those to which lines lead from it."""
    name, network = wildcards.experiment, (int(wildcards.seed), int(wildcards.round))
    if network not in lines_of(name):
        refuse_without_lines(f"results/{name}/seed{wildcards.seed}/round{wildcards.round}")
    return [(name, *network), *lines_of(name)[network]]


def rows_of_lines(wildcards):
    """The files of all networks from which lines lead to others."""
    name = wildcards.experiment
    if not lines_of(name):
        refuse_without_lines(f"results/{name}")
    return [f"results/{name}/seed{seed}/round{round}/barriers.parquet" for seed, round in lines_of(name)]


def refuse_without_lines(folder):
    refuse(f"{folder}/barriers.parquet: no lines are asked for; add landscape, or more of landscape.pairs")


# --- reports ---


def result(file):
    """A result of the job's experiment."""
    return lambda wildcards: f"results/{wildcards.experiment}/{file}"


def compared_with(wildcards):
    """The selected controls of the job's experiment, name by kind; the last may be siblings."""
    return controls_of(wildcards.experiment) | controls_of(wildcards.experiment, again=True)


def tables_of_report(wildcards):
    """What reports show besides the experiment's matrix: its other tables, and those of its controls."""
    name, controls = wildcards.experiment, compared_with(wildcards).values()
    tables = [(name, table) for table in ("channels", "classes", "exemplars")]
    for other in controls:
        tables.append((other, "siblings" if stages.trains_again(experiment(other)) else "similarity"))
    for other in [name, *controls]:
        tables += [(other, table) for table in ("accuracy", "weights", "predictions")]
        tables += [(other, "barriers")] if lines_of(other) else []
    return [f"results/{other}/{table}.parquet" for other, table in tables]


def side_by_side(file):
    """A result of each experiment that the overview shows."""
    return lambda _: [f"results/{name}/{file}" for name in in_overview()]


def labels_of(names):
    """Label and reference of each measure of these experiments: a changed label reruns only rules that show it."""
    return shown(measure for name in names for measure in experiment(name)["similarity"]["measures"])
