"""A store of synthetic anomalies: Zarr v3, one sample readable without its neighbours.

Knows nothing of synthesis, detection or torch: images, masks, keys, generators and mixtures.
"""

from synth_store.bernoulli import BernoulliSchedule as BernoulliSchedule
from synth_store.joined import Joined as Joined
from synth_store.mix import Items as Items
from synth_store.mix import ItemStream as ItemStream
from synth_store.mix import Mix as Mix
from synth_store.mix import Schedule as Schedule
from synth_store.mix import Stream as Stream
from synth_store.normals import write_normals as write_normals
from synth_store.reader import Normals as Normals
from synth_store.reader import StoredSet as StoredSet
from synth_store.rng import address_rng as address_rng
from synth_store.rng import sample_rng as sample_rng
from synth_store.store import Job as Job
from synth_store.store import SynthStore as SynthStore
from synth_store.types import Geometry as Geometry
from synth_store.types import Sample as Sample
from synth_store.types import StoreError as StoreError
from synth_store.types import StoreKey as StoreKey
from synth_store.types import UserError as UserError
