"""Features of clips, such as a frozen CNN makes of a video's frames, in a folder that grows safely."""

from nprnn.feature_store.clips import SIDES as SIDES
from nprnn.feature_store.clips import ClipRow as ClipRow
from nprnn.feature_store.origin import recall_origin as recall_origin
from nprnn.feature_store.origin import remember_origin as remember_origin
from nprnn.feature_store.store import FeatureStore as FeatureStore
