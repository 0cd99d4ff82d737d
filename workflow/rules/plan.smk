# The configuration, checked before any job: an invalid one stops here, with one line and no traceback.
from functools import cache

from snakemake.utils import update_config

from prunescope import digests, files, identity, kinds
from prunescope.errors import InputError
from prunescope.plan import bounds, compared, history, notes, sharing, sizes, stages, targets
from prunescope.provenance import SOURCES, sources
from prunescope.settings import elsewhere
from prunescope.settings.load import EXPERIMENTS, FILE, load_config, load_experiment, load_lineage
from prunescope.settings.reading import plain, read_yaml, typed
from prunescope.user_code import use as use_code_folder

SHIPPED = REPOSITORY / "config"
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
def lines_of(name):
    """The lines whose loss and error are measured, see `plan.compared.lines`."""
    return compared.lines(lineage(name))


@cache
def network_file(name, seed, round, file):
    """A file of one network of an experiment."""
    return sharing.network_file(lineage(name), int(seed), int(round), file)


def files_of_all_networks(name, file):
    """One file of every seed and round, seed by seed."""
    return [network_file(name, seed, round, file) for seed, round in stages.networks(experiment(name))]


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
    use_code_folder(CONFIG["code_folder"])
    if workflow.is_main_process:
        targets.check_results(Path("results", name) for name in ("data", *CONFIG["experiments"]))
    # All experiments are included, because a target may belong to one that is not selected. Errors in those are
    # reported only when they are used.
    IMPORTED = elsewhere.trained_elsewhere(CONFIG["catalogue"])
    said, counted = [], set()
    for name in CONFIG["experiments"]:
        # Round 0 of a selected experiment may be trained by an experiment that is not selected.
        for seed in experiment(name)["seeds"]:
            facts(sharing.owner(lineage(name), seed, "checkpoint.pt"))
        large = [path for file in notes.LARGE for path in files_of_all_networks(name, file)]
        new = [path for path in large if path not in counted]
        counted.update(new)
        said += notes.notes(name, experiment(name), facts(name), new)
        said += notes.landscape_notes(name, experiment(name), facts(name), lines_of(name))
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


def check_logs():
    """Refuse folders that cannot be written: Snakemake would stop during its first job, with a traceback."""
    try:
        for folder in ("results/logs", "results/benchmarks"):
            files.check_writable(folder)
    except InputError as error:
        refuse(error)
