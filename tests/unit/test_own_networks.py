"""Networks from the user's own files: where they may be, their digests, and errors in them."""

import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from snakemake.iocontainers import Namedlist

from prunescope import closure, digests, jobs, user_code
from prunescope.errors import InputError
from prunescope.networks.build import build
from prunescope.plan import sizes
from prunescope.settings.load import Catalogue, load_experiment
from prunescope.settings.reading import merge

MINE = '''"""Networks of mine."""
import torch
from torch import nn

from blocks import Block
from nets import shared
from .parts import tail


class Net(nn.Module):
    """A block and a linear layer."""

    def __init__(self, shape, classes, width=4, **more):
        super().__init__()
        self.more = more
        self.block = Block(shape[0], width)
        self.output = nn.Linear(width, classes)

    def forward(self, images):
        return self.output(shared.mean(self.block(images)))


def other(classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes), tail())


def broken(shape, classes):
    return nn.Linear(2, undefined)


class Wrong(Net):
    def forward(self, images):
        return self.output(images)


SIZE = 3
module = nn.Linear(1, 1)
'''
FILES = {
    "nets/mine.py": MINE,
    "nets/blocks.py": (
        "from torch import nn\n\n\nclass Block(nn.Module):\n    def __init__(self, channels, width):\n"
        "        super().__init__()\n        self.conv = nn.Conv2d(channels, width, 3)\n\n"
        "    def forward(self, images):\n        return self.conv(images)\n\n\ndef unused():\n    return 1\n"
    ),
    "nets/shared.py": "def mean(images):\n    return images.mean((2, 3))\n\n\ndef unused():\n    return 2\n",
    "nets/parts/__init__.py": "from .ends import tail\n",
    "nets/parts/ends.py": "from torch import nn\n\n\ndef tail():\n    return nn.Identity()\n",
}
NET = "file:nets/mine.py:Net"
SHAPE = (1, 8, 8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's project, which is the working directory."""
    project = tmp_path / "project"
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    monkeypatch.chdir(project)
    yield project
    user_code.use(".")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refused(name=NET, **arguments) -> str:
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        build(name, arguments, SHAPE, 5, 0)
    return str(caught.value)


# --- building --------------------------------------------------------------------------------------------


def test_a_class_and_a_function_get_what_their_signature_has(folder):
    network = build(NET, {"width": 6, "depth": 2}, SHAPE, 5, 0)
    assert network(torch.zeros(2, *SHAPE)).shape == (2, 5)
    assert network.output.in_features == 6 and network.more == {"depth": 2}
    assert build("file:nets/mine.py:other", {}, SHAPE, 7, 0)(torch.zeros(1, *SHAPE)).shape == (1, 7)
    again = build(NET, {"width": 6}, SHAPE, 5, 0)
    assert torch.equal(network.block.conv.weight, again.block.conv.weight), "the seed alone draws the weights"


def test_weights_drawn_by_numpy_or_python_depend_on_the_seed_alone(folder):
    (folder / "nets/drawn.py").write_text(
        "import random\n\nimport numpy as np\nimport torch\nfrom torch import nn\n\n\n"
        "def net(shape, classes):\n    output = nn.Linear(64, classes)\n"
        "    drawn = np.random.randn(classes, 64) * random.random()\n"
        "    output.weight.data = torch.tensor(drawn, dtype=torch.float32)\n"
        "    return nn.Sequential(nn.Flatten(), output)\n"
    )
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    drawn = [build("file:nets/drawn.py:net", {}, SHAPE, 5, seed)[1].weight for seed in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert (random.random(), np.random.rand()) == expected, "the global state is left as it was"  # noqa: NPY002


def test_nothing_of_the_users_files_hides_installed_modules(folder):
    before = list(sys.path)
    (folder / "nets/statistics.py").write_text("hidden = True\n")
    build(NET, {}, SHAPE, 5, 0)
    sys.modules.pop("statistics", None)
    import statistics

    assert statistics.mean([1, 3]) == 2 and sys.path == before


def test_files_of_the_same_name_in_two_folders_do_not_mix(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "width.py").write_text(f"WIDTH = {len(name) + ord(name)}\n")
        (folder / name / "net.py").write_text(
            "from torch import nn\nfrom width import WIDTH\n\n\ndef net(shape, classes):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, classes))\n"
        )
    widths = [build(f"file:{name}/net.py:net", {}, SHAPE, 5, 0)[1].out_features for name in ("a", "b", "a")]
    assert widths == [98, 99, 98]


def test_a_quick_edit_of_the_same_length_counts(folder):
    assert build(NET, {}, SHAPE, 5, 0).block.conv.kernel_size == (3, 3)
    edit(folder / "nets/blocks.py", "width, 3)", "width, 5)")
    assert build(NET, {}, SHAPE, 5, 0).block.conv.kernel_size == (5, 5)


def test_a_configured_folder_is_where_paths_start(folder, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "no file nets/mine.py" in refused()
    user_code.use(folder)
    assert build(NET, {}, SHAPE, 5, 0).output.out_features == 5


def test_an_environment_below_the_folder_is_not_the_users_code(folder, monkeypatch):
    package = folder / ".venv/site/installed"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "later.py").write_text("def fail():\n    raise KeyError('inside')\n")
    monkeypatch.syspath_prepend(str(package.parent))
    edit(folder / "nets/mine.py", "SIZE = 3", "import installed.later; installed.later.fail()")
    assert "nets/mine.py, line 36: KeyError: 'inside'" in refused()
    assert type(sys.modules["installed.later"].__loader__).__name__ == "SourceFileLoader"


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file:nets/mine.py", ["must name a file and what it defines", "file:nets/mine.py:MyNet"]),
        ("file:nets.mine:Net", ["must name a file"]),
        ("file:../project/nets/mine.py:Net", ["is outside"]),
        ("file:/etc/mine.py:Net", ["is outside", "code_folder"]),
        ("file:link.py:Net", ["is outside"]),
        ("file:linked/mine.py:Net", ["is outside"]),
        ("file:nets/mine2.py:Net", ["no file nets/mine2.py", "did you mean 'nets/mine.py'"]),
        ("file:.hidden/mine.py:Net", ["Python cannot import files or folders with a dot"]),
        ("file:nets/mine.py:Nett", ["nets/mine.py does not define Nett (did you mean 'Net'?)"]),
        ("file:nets/mine.py:SIZE", ["must name a class or a function"]),
        ("file:nets/mine.py:module", ["must name a class or a function"]),
    ],
)
def test_a_name_that_is_not_allowed_gives_one_line(folder, tmp_path, name, words):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.py").write_text("Net = None\n")
    (folder / "link.py").symlink_to(outside / "mine.py")
    (folder / "linked").symlink_to(outside)
    message = refused(name)
    assert all(word in message for word in words), message


def test_a_file_of_the_library_is_not_the_users(monkeypatch):
    monkeypatch.chdir(closure.LIBRARY)
    assert "part of prunescope" in refused("file:networks/lenet.py:lenet5")


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("mine.py", "SIZE = 3", "SIZE = (", "nets/mine.py, line 36: SyntaxError"),
        ("blocks.py", "def unused():", "def unused(:", "nets/blocks.py, line 13: SyntaxError"),
        ("mine.py", "SIZE = 3", "SIZE = 1 / 0", "nets/mine.py, line 36: ZeroDivisionError: division by zero"),
        ("mine.py", "SIZE = 3", "import sys; sys.exit(2)", "nets/mine.py, line 36: SystemExit: 2"),
        ("mine.py", "SIZE = 3", "import nothing_like_it", "line 36: ModuleNotFoundError: No module named"),
        ("shared.py", "(2, 3)", "(2, 9)", "nets/shared.py, line 2: IndexError: Dimension out of range"),
    ],
)
def test_an_error_in_the_users_code_is_one_line_with_file_and_line(folder, file, old, new, where):
    edit(folder / "nets" / file, old, new)
    assert where in refused()


def test_errors_while_building_and_running_name_the_line(folder):
    message = refused("file:nets/mine.py:broken")
    assert "nets/mine.py, line 28: NameError: name 'undefined' is not defined" in message
    message = refused("file:nets/mine.py:Wrong")
    assert "images of 1×8×8 and 5 classes: nets/mine.py, line 33: RuntimeError: " in message
    assert "mat1 and mat2 shapes cannot be multiplied" in message


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (NET, {"classes": 3}, "'classes' is set by the data set; allowed: width"),
        ("file:nets/mine.py:other", {"width": 3}, "'width' is not an argument of file:nets/mine.py:other"),
        ("file:nets/shared.py:mean", {}, "missing 1 required positional argument: 'images'"),
    ],
)
def test_arguments_are_checked_against_the_signature(folder, name, arguments, words):
    assert words in refused(name, **arguments)


def test_what_is_no_module_or_gives_no_tensor_is_refused(folder):
    (folder / "odd.py").write_text(
        "from torch import nn\n\n\ndef text():\n    return 'net'\n\n\nclass Pair(nn.Module):\n"
        "    def forward(self, images):\n        return images, images\n"
    )
    assert "returns a str, not a torch.nn.Module" in refused("file:odd.py:text")
    assert "returns a tuple instead of one tensor; it must return" in refused("file:odd.py:Pair")


# --- plans and jobs --------------------------------------------------------------------------------------


PAGE = (Path(__file__).parents[2] / "docs/networks.md").read_text()
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
LINES = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
CAT = 1 + next(number for number, text in enumerate(CODE.splitlines()) if "torch.cat" in text)


def plan(folder, code=CODE, **keys):
    """Plan the experiment of docs/networks.md, as the workflow does."""
    (folder / "nets/mine.py").write_text(code)
    catalogue = Catalogue((Path(__file__).parents[2] / "config/experiments",), {"mine": merge(LINES, keys)})
    data = {"root": "data", "datasets": {"digits": "sklearn:digits"}}
    return sizes.describe(load_experiment("mine", catalogue), catalogue.where("mine"), data)


def test_a_plan_knows_the_layers(folder):
    shapes = plan(folder)["network"]["shapes"]
    assert list(shapes) == ["stem", "blocks.0", "blocks.0.attend", "blocks.1", "blocks.1.attend"]
    assert all(shape == [16, 17] for shape in shapes.values())


@pytest.mark.parametrize(
    ("code", "keys", "words"),
    [
        (CODE.replace("torch.cat([", "torch.cat(("), {}, f"nets/mine.py, line {CAT}: "),
        (CODE.replace("dim=1)", "dim=9)"), {}, f"nets/mine.py, line {CAT}: IndexError: Dimension out of"),
        (CODE, {"activations": {"layers": ["blok*"]}}, "pattern 'blok*' matches no module of Transformer"),
        (CODE, {"activations": {"token": 17}}, "'stem' has only positions 0 to 16"),
        (
            CODE,
            {"activations": {"layers": ["patches"]}},
            "show which axis holds its units; set activations.axes",
        ),
        (CODE, {"activations": {"view": "pooled", "token": 0}}, "needs activations.view: channels"),
        (CODE, {"activations": {"positions": 4, "token": 0}}, "cannot be combined with activations.token"),
        (CODE, {"network": {"name": "file:../mine.py:Net"}}, "network.name = 'file:../mine.py:Net': ../mine"),
        (CODE, {"network": {"weights": "none.pt"}}, "network.weights = 'none.pt': cannot be read"),
        (CODE, {"network": {"weights": "nets/mine.py"}}, "network.weights = 'nets/mine.py': cannot be read"),
        (CODE, {"training": {"normalisation": "weights"}}, "has no preprocessing of its own"),
    ],
)
def test_mistakes_stop_the_plan_with_one_line(folder, code, keys, words):
    with pytest.raises(InputError, match=r"^experiments\.mine: [^\n]*$") as caught:
        plan(folder, code, **keys)
    assert words in str(caught.value), str(caught.value)


def test_an_error_in_a_job_is_one_line_and_a_traceback_in_the_log(folder, tmp_path):
    network = build(NET, {}, SHAPE, 5, 0)
    given = SimpleNamespace(
        input=Namedlist(),
        output=Namedlist(),
        log=[str(tmp_path / "a.log")],
        rule="rule",
        wildcards=["a"],
        threads=1,
        config={},
        params=Namedlist(),
        resources=SimpleNamespace(),
    )
    with pytest.raises(SystemExit) as ended, jobs.job(given):
        network(torch.zeros(1, 9, 8, 8))
    assert str(ended.value).startswith("rule a: nets/blocks.py, line 10: RuntimeError: Given groups=1")
    assert "Traceback" in (tmp_path / "a.log").read_text()


# --- digests ---------------------------------------------------------------------------------------------


def digest(name=NET):
    return digests.of_file("network", name)


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("mine.py", "nn.Linear(width, classes)", "nn.Linear(width, classes, bias=True)", True),
        ("blocks.py", "width, 3)", "width, 3, bias=False)", True),
        ("shared.py", ".mean((2, 3))", ".amax((2, 3))", True),
        ("parts/ends.py", "from torch import nn", "from torch import nn\nnn.Identity.x = 1", True),
        ("mine.py", "import torch\n", "import torch\ntorch.set_num_threads(1)\n", True),
        ("parts/ends.py", "nn.Identity()", "nn.ReLU()", True),
        ("blocks.py", "return 1", "return 7", True),
        ("mine.py", '"""A block and a linear layer."""', '"""A block."""\n\n        # Or two.', False),
        ("other.py", "nn.Module", "nn.ReLU", False),
    ],
)
def test_the_digest_covers_the_files_that_the_network_can_import(folder, file, old, new, changes):
    (folder / "nets/other.py").write_text("from torch import nn\n\nclass Other(nn.Module): ...\n")
    script = closure.LIBRARY.parent / "train_dense.py"
    before, with_library = digest(), digests.code(script, (("network", NET),))
    edit(folder / "nets" / file, old, new)
    assert (digest() != before) == changes
    assert (digests.code(script, (("network", NET),)) != with_library) == changes


def test_other_networks_have_no_digest_of_a_file():
    assert digests.of_file("network", "lenet5") is None
    assert digests.of_file("network", "torchvision/resnet18") is None
