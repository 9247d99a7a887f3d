"""nprnn: the ReLU recurrent network with a normalised positive-definite start, and a drop-in for ``torch.nn.RNN``."""

from nprnn import errors as errors
from nprnn import init as init
from nprnn import ops as ops
from nprnn.ensembles import stack as stack
from nprnn.init import init_rnn_ as init_rnn_
from nprnn.linear import EnsembleLinear as EnsembleLinear
from nprnn.ops import backend_status as backend_status
from nprnn.rnn import NPRNN as NPRNN
from nprnn.rnn import RNN as RNN
from nprnn.rnn import RNNCell as RNNCell
from nprnn.streaming import Streamer as Streamer

__version__ = "0.1.0"
