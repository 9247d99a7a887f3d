"""Out of the lab: a trained network as ONNX, ExecuTorch, C or plain torch, each run before it is handed over.

``network_of`` takes any RNN, ``network_of_run`` a run; ``export`` writes.
"""

from nprnn.export.format import Exported as Exported
from nprnn.export.format import Wanted as Wanted
from nprnn.export.network import Network as Network
from nprnn.export.network import network_of as network_of
from nprnn.export.verifying import Verification as Verification
from nprnn.export.writing import FORMATS as FORMATS
from nprnn.export.writing import RECORD as RECORD
from nprnn.export.writing import Written as Written
from nprnn.export.writing import export as export
from nprnn.export.writing import network_of_run as network_of_run
