"""One command line per step of the workflow; the library they call is in `lib`."""

from workflow_scripts.lib import torchvision_compat

torchvision_compat.install()
