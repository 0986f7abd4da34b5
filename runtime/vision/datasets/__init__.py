"""Data sets of images, read from files on disk; nothing is downloaded."""

from __future__ import annotations

from .annotated import *
from .cifar import *
from .dataset import VisionDataset as VisionDataset
from .folders import *
from .mnist import *
from .svhn import *
