#!/usr/bin/env bash
# detectron2 has no wheel and has to see the torch that it is built for.
set -euo pipefail
pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2.git@02b5c4e295e990042a714712c21dc79b731e8833
