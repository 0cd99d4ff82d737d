from prunescope.errors import InputError as InputError
from prunescope.notebook.arrays import compare as compare
from prunescope.notebook.folders import compare_folders as compare_folders
from prunescope.notebook.models import compare_models as compare_models
from prunescope.notebook.run import load as load
from prunescope.report.recorded import write_report as write_report
from prunescope.user_code.description import described as described

__version__: str
