"""Layers, losses and what trains them."""

from ..ops.linear_cross_entropy import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from . import attention as attention
from . import common_types as common_types
from . import functional as functional
from . import grad as grad
from . import init as init
from . import modules as modules
from . import parallel as parallel
from . import parameter as parameter
from . import utils as utils
from .modules.activation import *
from .modules.adaptive import *
from .modules.attention import *
from .modules.batchnorm import *
from .modules.container import *
from .modules.conv import *
from .modules.conv_transpose import *
from .modules.distance import *
from .modules.dropout import *
from .modules.flatten import *
from .modules.fold import *
from .modules.instancenorm import *
from .modules.irregular_pooling import *
from .modules.likelihood import *
from .modules.linear import *
from .modules.loss import *
from .modules.margin import *
from .modules.module import *
from .modules.normalization import *
from .modules.padding import *
from .modules.parameter_containers import *
from .modules.pixelshuffle import *
from .modules.pooling import *
from .modules.rnn import *
from .modules.sparse import *
from .modules.transformer import *
from .modules.upsampling import *
from .parallel import DataParallel as DataParallel
from .parameter import *
