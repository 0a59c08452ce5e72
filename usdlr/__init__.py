"""Ultrasound deep-learning radiomics: axillary lymph-node status from pre-operative breast ultrasound.

usdlr is research software and not a medical device.
"""

from __future__ import annotations

import os

# Both libraries ask the network for something when they are imported or first used. A hospital workstation has no
# way out, and a run must not depend on one: set before any submodule can import them, and never override the user.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

__version__ = "0.1.0"
