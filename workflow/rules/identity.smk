# What is out of date: the plan compares every receipt with the job that would be run now.
#
# Snakemake's own records are lost with .snakemake and overruled by --touch, so they are not used: a job whose receipt
# differs is forced, time stamps of files that no job will write again are ignored, and no other trigger is on.
from snakemake.io import apply_wildcards
from snakemake.rules import Wildcards
from snakemake.settings.types import RerunTrigger

# With a storage provider, receipts are not here while the plan is made; Snakemake's own records are used there.
JUDGED = not workflow.storage_settings.default_storage_provider
HASHES = history.Hashes()
# Whether to accept results of older code, see `prunescope accept`.
ACCEPTED = os.environ.get(history.ACCEPT) == "code"
# Rules that leave receipts.
STAGES = []


@cache
def before_results():
    """What a storage provider, or a module's prefix, puts before the paths of results."""
    written = str(getattr(rules, STAGES[0]).output.receipt)
    return written[: written.rindex("results/")]


@cache
def producer(path):
    """The rule that makes a file, and the values of its wildcards."""
    for name in STAGES:
        stage, whole = getattr(rules, name).rule, before_results() + path
        if stage.is_producer(whole):
            return name, Wildcards(fromdict=stage.get_wildcards(whole))
    raise WorkflowError(f"no rule makes {path}")


@cache
def receipt_at(path):
    return identity.read(before_results() + path)


def hash_of(path):
    return HASHES.of(before_results() + path)


def inputs_of(name, wildcards):
    """The files that a rule reads besides receipts, in order."""
    files_read = []
    for key, item in getattr(rules, name).input.items():
        if key != "receipts":
            given = item(wildcards) if callable(item) else apply_wildcards(str(item), wildcards)
            files_read += [given] if isinstance(given, str) else given
    return [path.removeprefix(before_results()) for path in files_read]


def settings_of(name, wildcards):
    """The settings of a rule's job: its parameters."""
    params = getattr(rules, name).params.items()
    return identity.settings({key: value(wildcards) if callable(value) else value for key, value in params})


@cache
def versions(name):
    """Versions of the packages that a rule's results depend on. With --sdm, Snakemake tracks the packages."""
    if workflow.deployment_settings.deployment_method:
        return {}
    return stages.environment(name, CONFIG["environment"])


@cache
def outputs_of(path):
    """The receipt of the job that makes a file, and its other outputs."""
    name, wildcards = producer(path)
    output = getattr(rules, name).output
    whole = (apply_wildcards(str(file), wildcards) for file in [output.receipt, *output])
    receipt, *others = (file.removeprefix(before_results()) for file in whole)
    others.remove(receipt)
    return receipt, others


@cache
def out_of_date(receipt):
    """Why the job of a receipt has to run; an empty text if what it wrote is what it would write now."""
    name, wildcards = producer(receipt)
    _, outputs = outputs_of(receipt)
    written = receipt_at(receipt)
    reason = changed_settings(receipt)
    existing = {path: digest for path in outputs if (digest := hash_of(path)) is not None}
    if not reason:
        for path, digest in existing.items():
            if digest != written["outputs"].get(Path(path).name):
                reason = f"{path} is not the file that the job wrote"
    inputs = inputs_of(name, wildcards)
    makers = [outputs_of(path)[0] for path in inputs]
    if not reason and len(written["inputs"]) != len(inputs):
        reason = f"it was made from {len(written['inputs'])} files, not {len(inputs)}"
    if reason and existing:
        announce(name, wildcards.get("experiment") or wildcards.get("dataset"), reason)
    for path, maker, given in zip(inputs, makers, [] if reason else written["inputs"]):
        if out_of_date(maker):
            reason = f"{path} is out of date"
        elif receipt_at(maker)["outputs"].get(Path(path).name) != given["sha256"]:
            reason = f"{path} is another file than it was made from"
            announce(name, wildcards.get("experiment"), reason)
    return reason


def changed_settings(receipt):
    """How the settings of a job differ from those in its receipt; an empty text if they do not."""
    name, wildcards = producer(receipt)
    written, settings = receipt_at(receipt), settings_of(name, wildcards)
    # A source that was touched or moved has the same content.
    stamp = settings.get("stamp")
    if written and stamp and stamp != written["settings"].get("stamp"):
        if HASHES.of(stamp[0]) == written.get("source"):
            settings["stamp"] = written["settings"].get("stamp")
    reason = history.difference(written, dict(wildcards.items()), settings, versions(name))
    if reason != history.CODE or not ACCEPTED:
        return reason
    history.accept(before_results() + receipt, settings["code"])
    print(f"prunescope: accepted {receipt}", file=sys.stderr)
    return ""


def accepted_code(name, wildcards):
    """By rule, among all jobs before one: digest of the code that computed results, and of code they stand for."""
    accepted, seen, todo = {}, set(), inputs_of(name, wildcards)
    while todo:
        receipt, _ = outputs_of(todo.pop())
        if receipt not in seen:
            seen.add(receipt)
            maker, values = producer(receipt)
            todo += inputs_of(maker, values)
            written = receipt_at(receipt) or {}
            for code in written.get("accepted_code", ()):
                accepted.setdefault(maker, set()).add(f"{written['settings']['code']} as {code}")
    return {rule: sorted(pairs) for rule, pairs in sorted(accepted.items())}


@cache
def is_settled(receipt):
    """Whether neither a job nor any job before it will run.

    If one will run, Snakemake does not check the jobs after it, and reaches them only through inputs that are not
    `ancient`.
    """
    name, wildcards = producer(receipt)
    files_made = {receipt, *outputs_of(receipt)[1]}
    if (
        out_of_date(receipt)
        or None in map(hash_of, files_made)
        or getattr(rules, name).rule in workflow.dag.forcerules
    ):
        return False
    if {before_results() + path for path in files_made} & set(map(str, workflow.dag.forcefiles)):
        return False
    return all(is_settled(outputs_of(path)[0]) for path in inputs_of(name, wildcards))


@cache
def nothing_to_do():
    """Whether every requested file is there as it would be written now: then missing intermediate files do not matter."""
    settings = workflow.dag_settings
    if MODULE or settings.forcerun or settings.forceall or settings.forcetargets:
        return False
    try:
        makers = {path: outputs_of(str(path))[0] for path in settings.targets or all_targets()}
    except WorkflowError:  # a rule, or a file that is not ours
        return False
    return not any(out_of_date(receipt) or hash_of(str(path)) is None for path, receipt in makers.items())


@cache
def our_rules():
    return [getattr(rules, name).rule for name in STAGES]


def ancient_if_settled(item):
    """Ignore the time of an input of one of our rules that will not be written again."""
    if callable(item):  # an input function, whose files come one by one
        return item
    if not STAGES:  # Snakemake's own trial
        return ancient(item)
    if not any(one is getattr(item, "rule", None) for one in our_rules()):
        return item
    receipt, _ = outputs_of(str(item).removeprefix(before_results()))
    return ancient(item) if nothing_to_do() or is_settled(receipt) else item


@cache
def announce(name, whose, why):
    """Print once why a job runs again."""
    logger.warning(f"prunescope: {name}{f' of {whose}' if whose else ''} runs again: {why}")


@cache
def refuse_link(folder):
    """Refuse a folder that is a link to another one below results/: jobs of both would write there."""
    root = Path(before_results() + "results").resolve()
    where = Path(before_results() + folder).resolve()
    if where != root / Path(folder).relative_to("results") and where.is_relative_to(root):
        refuse(f"{folder}: a link to {where}, which is not its own; remove the link and run again")


@cache
def ignore_records():
    """Switch off Snakemake's own triggers. With --sdm, it still tracks the packages of the jobs."""
    if MODULE:
        return
    on = workflow.dag_settings.rerun_triggers
    workflow.dag_settings.rerun_triggers = {RerunTrigger.MTIME, RerunTrigger.SOFTWARE_ENV} & set(on)
    # A job that was killed has left no receipt, so what Snakemake calls incomplete is out of date or complete.
    names = {one.name for one in workflow.rules}
    if names <= {"all", *STAGES}:
        workflow.dag.ignore_incomplete = True


def receipts(name):
    """The input `receipts` of a job, from the jobs that make its other inputs.

    They are declared only for a storage provider, with which only declared files travel: each costs the plan time.
    """

    def of_job(wildcards):
        if JUDGED and workflow.is_main_process:
            ignore_records()
            whole = apply_wildcards(str(getattr(rules, name).output.receipt), wildcards)
            refuse_link(str(Path(whole.removeprefix(before_results())).parents[1]))
            if out_of_date(whole.removeprefix(before_results())):
                if workflow.touch:
                    refuse("--touch would keep results that are out of date; run without it")
                # Snakemake decides which jobs to run when it has built all of them.
                workflow.dag.forcefiles.add(whole)
        needed = [] if JUDGED else inputs_of(name, wildcards)
        return list(dict.fromkeys(outputs_of(path)[0] for path in needed))

    STAGES.append(name)
    return of_job


if JUDGED and workflow.is_main_process:
    atexit.register(HASHES.save)

    inputflags:
        ancient_if_settled,
