"""From a folder of videos to a store of frame features: what videos there are, their frames, a backbone, processes."""

from nprnn.video.backbone import BackboneConfig as BackboneConfig
from nprnn.video.backbone import Identity as Identity
from nprnn.video.backbone import width_of as width_of
from nprnn.video.clock import Moment as Moment
from nprnn.video.crew import Crew as Crew
from nprnn.video.decode import Picking as Picking
from nprnn.video.extract import Extraction as Extraction
from nprnn.video.extract import Watcher as Watcher
from nprnn.video.fresh import NewVideo as NewVideo
from nprnn.video.fresh import new_videos as new_videos
from nprnn.video.layout import SUFFIXES as SUFFIXES
from nprnn.video.layout import Clip as Clip
from nprnn.video.layout import Layout as Layout
from nprnn.video.layout import find_clips as find_clips
from nprnn.video.making import Making as Making
from nprnn.video.preprocess import PREPROCESSING as PREPROCESSING
from nprnn.video.preprocess import Preprocess as Preprocess
from nprnn.video.provenance import provenance as provenance
from nprnn.video.remarks import Remarks as Remarks
from nprnn.video.thumbnails import thumbnails as thumbnails
from nprnn.video.worker import Done as Done
from nprnn.video.worker import Order as Order
