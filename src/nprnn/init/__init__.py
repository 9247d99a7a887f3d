"""Initialisers: one per weight and start, and ``init_rnn_`` over them for a whole RNN."""

from nprnn.init.mirrored import mirror_ as mirror_
from nprnn.init.mirrored import mirrored_positive_definite_ as mirrored_positive_definite_
from nprnn.init.rotations import low_frequencies as low_frequencies
from nprnn.init.rotations import mirror_rotations_ as mirror_rotations_
from nprnn.init.rotations import mirrored_rotations_ as mirrored_rotations_
from nprnn.init.schemes import SCHEMES as SCHEMES
from nprnn.init.schemes import Scheme as Scheme
from nprnn.init.schemes import find_scheme as find_scheme
from nprnn.init.schemes import init_rnn_ as init_rnn_
from nprnn.init.weights import alpha as alpha
from nprnn.init.weights import gaussian_ as gaussian_
from nprnn.init.weights import identity_ as identity_
from nprnn.init.weights import input_weight_ as input_weight_
from nprnn.init.weights import is_normalized_positive_definite as is_normalized_positive_definite
from nprnn.init.weights import normalized_gaussian_ as normalized_gaussian_
from nprnn.init.weights import normalized_positive_definite_ as normalized_positive_definite_
from nprnn.init.weights import orthogonal_ as orthogonal_
from nprnn.init.weights import output_weight_ as output_weight_
from nprnn.init.weights import split_diagonal as split_diagonal
