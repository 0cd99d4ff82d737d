# Helpers of the rules: a job's experiment, resources and code.
import atexit
import gc
import os
import re
import signal
import sys
import threading
from functools import cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import update_config

# The jobs and files of a graph are kept to the end. Repeatedly searching them for garbage takes a fifth of the time
# of a large `snakemake -n`; a search after every million new objects is enough.
gc.set_threshold(1_000_000)

# What importing torch (with CUDA's libraries) needs before any work is done, in MB.
TORCH_MB = 2000
SHIPPED = REPOSITORY / "config"
MODULE = not workflow.modifier.is_main_snakefile()
# If this folder does not exist, an installed library is used.
LIBRARY = str(REPOSITORY / "workflow/scripts")
sys.path.insert(0, LIBRARY)
# Scripts also use this library instead of an installed one, because digests describe this code.
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")])))
# Scripts end when this process does.
os.environ.update(PRUNESCOPE_SNAKEMAKE=str(os.getpid()))


def interrupt(*_):
    """On Ctrl-C, let Snakemake end its jobs; then print one line."""
    global interrupted
    interrupted = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Interrupted code (closing an event loop, an import) would only print unhelpful errors.
    logger.disabled = True
    sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *_: None
    advice = "finished jobs are kept; run the same command again to resume training from its last epoch"
    atexit.register(print, f"prunescope: interrupted; {advice}", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


interrupted = False
# In a module, the host workflow handles Ctrl-C. If Ctrl-C is ignored from the start (nohup), it stays ignored.
if not MODULE and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupt)
    # A terminal sends Ctrl-C to all processes at once, including a Python process that is still importing and would
    # print a traceback. A script in the background ignores it; its shell sends SIGTERM, which jobs.job handles.
    shell.prefix("set -euo pipefail; trap 'kill $! && wait $!' INT; ")
    shell.suffix("<&0 & wait $!")


def refuse(error):
    """Stop with one line; inside another workflow, raise Snakemake's own error, which it may handle."""
    if MODULE:
        raise WorkflowError(f"prunescope: {error}")
    sys.exit(f"prunescope: {error}")


# Plans inspect data sets and networks. Environments of --sdm are only for jobs.
MISSING = [name for name in ("h5py", "numpy", "pydantic", "torch") if not find_spec(name)]
if MISSING:
    advice = "run make env && source .venv/bin/activate"
    refuse(f"{', '.join(MISSING)}: not installed in the environment that Snakemake runs in; {advice}")

from prunescope import digests, files, identity, kinds, own, records
from prunescope.config import facts as sizes
from prunescope.config import models, notes, sharing, stages, targets
from prunescope.config.files import EXPERIMENTS, FILE, load_config, load_experiment, load_lineage
from prunescope.data.images import IN_MEMORY
from prunescope.errors import RESERVED_BY_TORCH, InputError, require_address_space, require_threads
from prunescope.findings.labels import shown
from prunescope.provenance import SOURCES, sources
from prunescope.report import names
from prunescope.settings.reading import plain, read_yaml, typed
from prunescope.similarity import memory

# Jobs compare their code with this value. Cluster jobs read this file again but keep the value of the main process.
os.environ.setdefault(SOURCES, sources())


@cache
def experiment(name):
    return load_experiment(name, CONFIG["catalogue"])


@cache
def facts(name):
    """Sizes of an experiment's data set and network; checks that they fit together."""
    return sizes.describe(experiment(name), CONFIG["catalogue"].where(name), CONFIG["data"])


@cache
def lineage(name):
    """An experiment and those it extends; it may share round 0 with them."""
    return load_lineage(name, CONFIG["catalogue"])


@cache
def owner(name, seed, file):
    """The experiment whose folder contains a file of round 0."""
    return sharing.owner(lineage(name), seed, file)


@cache
def network_file(name, seed, round, file):
    """A file of one network of an experiment."""
    return sharing.network_file(lineage(name), int(seed), int(round), file)


def files_of_all_networks(name, file):
    """One file of every seed and round, seed by seed."""
    return [network_file(name, seed, round, file) for seed, round in stages.networks(experiment(name))]


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


# Another folder (--directory) may have its own configuration; otherwise, the shipped configuration is used.
WRITTEN = config
if not MODULE:
    given = Path(FILE) if os.path.lexists(FILE) else REPOSITORY / FILE
    # Snakemake would read these files without limits, and 1:30 and 010 as numbers.
    try:
        WRITTEN = {}
        for path in (given, *workflow.overwrite_configfiles):
            update_config(WRITTEN, read_yaml(Path(path)))
        update_config(WRITTEN, typed(plain(workflow.config_settings.config)))
    except InputError as error:
        refuse(error)

    configfile: str(given)


# An invalid configuration stops here, before any job, with one line and no traceback.
try:
    files.check_writable(".snakemake")
    if workflow.is_main_process:
        # On a full disk, Snakemake itself would end with a traceback.
        files.write_text(".snakemake/prunescope/room", 4096 * " ")
    folders = [EXPERIMENTS, SHIPPED / "experiments"]
    if folders[1].is_dir() and EXPERIMENTS.resolve() == folders[1].resolve():
        folders.pop()
    CONFIG = load_config(WRITTEN, read_yaml(SHIPPED / "config.yaml"), tuple(folders), MODULE)
    # Scripts see the checked configuration as `snakemake.config`.
    config.update({key: CONFIG[key] for key in ("data", "gpu_share", "code_folder")})
    own.use(CONFIG["code_folder"])
    if workflow.is_main_process:
        targets.check_results(Path("results", name) for name in ("data", *CONFIG["experiments"]))
    # This precedes any import of torch, which a limit would abort. A limit on memory also limits threads.
    require_address_space("importing torch", TORCH_MB, RESERVED_BY_TORCH)
    if workflow.is_main_process:
        require_threads(16 + os.cpu_count())
    # All experiments are included, because a target may belong to one that is not selected. Errors in those are
    # reported only when they are used.
    IMPORTED = models.trained_elsewhere(CONFIG["catalogue"])
    said, recordings = [], set()
    for name in CONFIG["experiments"]:
        # Round 0 of a selected experiment may be trained by an experiment that is not selected.
        for seed in experiment(name)["seeds"]:
            facts(owner(name, seed, "checkpoint.pt"))
        new = [path for path in files_of_all_networks(name, "activations.h5") if path not in recordings]
        recordings.update(new)
        said += notes.notes(name, experiment(name), facts(name), new)
    # With --sdm, jobs use different packages from this process; Snakemake tracks those itself.
    if CONFIG["environment"] == "warn" and not workflow.deployment_settings.deployment_method:
        networks = {name: files_of_all_networks(name, "metrics.json") for name in CONFIG["experiments"]}
        said += filter(None, (notes.environment_note(name, paths) for name, paths in networks.items()))
    said += notes.machine_notes(workflow.global_resources, workflow.local_exec)
except InputError as error:
    refuse(error)
if workflow.is_main_process:
    for note in said:
        logger.warning(f"prunescope: {note}")


def check_targets():
    """Refuse targets that no experiment makes: they would cause a traceback or unwanted training."""
    if MODULE or not workflow.is_main_process or not any("results/" in text for text in sys.argv):
        return
    # Snakemake knows its targets only after it has read this file.
    from snakemake.cli import get_argument_parser

    wanted = get_argument_parser().parse_known_args(sys.argv[1:])[0].targets
    made = [str(output) for rule in workflow.rules for output in rule.output]
    try:
        targets.check(sorted(wanted), made, CONFIG["catalogue"], CONFIG["data"])
    except InputError as error:
        refuse(error)


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


def starting_files(wildcards):
    """The files that a later round starts from, by the names in `stages.starts_from`."""
    name, seed, round = wildcards.experiment, int(wildcards.seed), int(wildcards.round)
    places = {
        "previous": network_file(name, seed, round - 1, "checkpoint.pt"),
        "rewind": network_file(name, seed, 0, "rewind.pt"),
        # A control extends the experiment that it controls.
        "masks": network_file(lineage(name)[-2:][0][0], seed, round, "checkpoint.pt"),
    }
    return {key: places[key] for key in sorted(stages.starts_from(experiment(name)))}


def starting_file(key):
    return lambda wildcards: starting_files(wildcards).get(key, [])


def dataset_of(wildcards):
    return f"results/data/{experiment(wildcards.experiment)['dataset']}.h5"


def result(file):
    return lambda wildcards: f"results/{wildcards.experiment}/{file}"


def results_of_all(file):
    return lambda _: [f"results/{name}/{file}" for name in CONFIG["experiments"]]


def overview():
    """The page that compares several experiments."""
    return ["results/overview.html"] if len(CONFIG["experiments"]) > 1 else []


def products(name):
    """Targets of one experiment."""
    names = ["similarity.parquet", "accuracy.parquet", "figures", "report.html", "findings.json"]
    if experiment(name)["similarity"]["spectrum"]:
        names.append("spectrum.parquet")
    return [f"results/{name}/{file}" for file in names] + untrained(name)


def labels_of(names):
    """Label and reference of each measure of these experiments: a changed label reruns only rules that show it."""
    return shown(measure for name in names for measure in experiment(name)["similarity"]["measures"])


def mega(numbers, bytes_each=4):
    """Size in MB of this many numbers."""
    return int(numbers * bytes_each / 1e6) + 1


def growing(amount):
    """A bound that grows with Snakemake's attempt, so that --retries gives a job more."""
    return lambda wildcards, attempt: amount * attempt


def source_of(wildcards):
    return sizes.source_of(wildcards.dataset, CONFIG["data"], "target results/data")


def stamp_of(wildcards):
    """A value that changes with a folder, archive or file of images: path, sizes, modification times."""
    return sizes.stamp(source_of(wildcards), CONFIG["data"]["root"])


def training_minutes(wildcards, attempt):
    """A generous bound from the number of operations: three passes over each image at a slow core's 2 GMAC/s.

    It assumes a CPU; on a GPU, it is even more generous.
    """
    this, size = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = this["training"]["examples"] or size["dataset"]["train"]
    passes = this["training"]["epochs"] * images + size["dataset"]["test"]
    seconds = 3 * passes * size["network"]["macs"] / 2e9
    return attempt * (30 + int(seconds / 60))


def of_import(key):
    """A parameter of `import_model`."""
    return of_experiment(lambda this, job: stages.import_params(this, int(job.seed), int(job.round))[key])


def import_minutes(wildcards, attempt):
    """A generous bound: one pass over the test images at a slow core's 2 GMAC/s."""
    size = facts(wildcards.experiment)
    return attempt * (10 + int(3 * size["dataset"]["test"] * size["network"]["macs"] / 2e9 / 60))


def training_mb(wildcards, attempt):
    this, size = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = size["dataset"]["train"] + size["dataset"]["test"]
    batch = 4 * this["training"]["batch_size"] * size["network"]["floats"]
    pixels = mega(2 * min(images * prod(size["dataset"]["shape"]), IN_MEMORY), 1)
    return attempt * (TORCH_MB + pixels + mega(batch) + mega(20 * size["network"]["parameters"]))


def extraction_mb(wildcards, attempt):
    this, size = experiment(wildcards.experiment)["activations"], facts(wildcards.experiment)
    batch = 2 * this["batch_size"] * size["network"]["floats"]
    # One wide layer is rotated at a time, in float64.
    matrices = notes.matrices(experiment(wildcards.experiment), size)
    rotated = max((m.rows * m.units for m in matrices.values() if m.rotated), default=0)
    return attempt * (TORCH_MB + mega(batch) + mega(rotated, 16))


def recorded(wildcards):
    """The parameter `activations` of a recording."""
    this = experiment(wildcards.experiment)
    params = stages.activation_params(this)
    if "models" not in this:
        return params
    model = models.find(this, int(wildcards.seed), int(wildcards.round))
    first = model is this["models"][0]
    layers = [] if first else list(facts(wildcards.experiment)["network"]["shapes"])
    return params | {"layers": models.recorded(this, model, layers)}


def comparison_mb(wildcards, attempt):
    """The bound of docs/similarity.md, and the interpreter's own memory."""
    this, size = experiment(wildcards.experiment), facts(wildcards.experiment)
    matrices = notes.matrices(this, size).values()
    widths = [matrix.columns for matrix in matrices]
    positions = [matrix.rows // matrix.images for matrix in matrices]
    recordings = max(this["rounds"] + 1, len(this["seeds"]))
    similarity = this["similarity"]
    images = max((matrix.images for matrix in matrices), default=0)
    peak = memory.peak_bytes(
        widths,
        recordings,
        similarity["threads"],
        similarity["pairs"],
        positions,
        similarity["intervals"],
        images,
    )
    return attempt * ((TORCH_MB if similarity["gpu"] else 500) + mega(peak, 1))


def check_memory():
    """Refuse a limit on address space (``ulimit -v``) that is too low for the largest job."""
    for name in CONFIG["experiments"]:
        job = SimpleNamespace(experiment=name)
        largest = max(bound(job, 1) for bound in (training_mb, extraction_mb, comparison_mb))
        try:
            require_address_space(f"a job of {name}", largest, RESERVED_BY_TORCH)
        except InputError as error:
            refuse(error)


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
    if this["similarity"]["across_seeds"] and len(this["seeds"]) > 1:
        folders = [sharing.owner_across_seeds(lineage(name)), *[name] * this["rounds"]]
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


def controls_of(name):
    """The selected controls of an experiment: name by kind."""
    found = {}
    for other in sorted(CONFIG["experiments"]):
        control = experiment(other)["control"]
        if control != "none" and lineage(other)[-2][0] == name:
            found.setdefault(control, other)
    return found


def of_controls(file):
    """A file of each selected control of the job's experiment, in the order of `controls_of`."""
    return lambda wildcards: [
        f"results/{other}/{file}" for other in controls_of(wildcards.experiment).values()
    ]


def failures(paths):
    """Failed jobs in Snakemake's own log: their log files, each once, and the signals that ended some of them."""
    text = "".join(Path(path).read_text() for path in ([paths] if isinstance(paths, str) else paths))
    logs = dict.fromkeys(re.findall(r"^ +log: (\S+) \(check log file", text, re.MULTILINE))
    codes = {int(code) for code in re.findall(r"returned non-zero exit status (\d+)\.$", text, re.MULTILINE)}
    signals = {signal.Signals(code - 128).name for code in codes if code - 128 in set(signal.Signals)}
    return logs, sorted(signals | set(re.findall(r"died with <Signals\.(\w+)", text)))
